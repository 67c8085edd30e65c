// amqplib, the Node.js client.
'use strict';

const amqp = require('amqplib');
const assert = require('assert');

const host = process.env.AMQP_HOST;
const port = process.env.AMQP_PORT;
const url = `amqp://guest:guest@${host}:${port}`;
const DEADLINE_MS = 10000;

const checks = [];
const check = (name, run) => checks.push({name, run});

// Resolves when `condition` becomes true; fails at the deadline.
const becomes = (what, condition) => new Promise((resolve, reject) => {
    const end = Date.now() + DEADLINE_MS;
    const look = () => {
        if (condition())
            resolve();
        else if (Date.now() > end)
            reject(new Error(`${what} does not come`));
        else
            setTimeout(look, 5);
    };
    look();
});

const take = async (channel, queue) => {
    for (const end = Date.now() + DEADLINE_MS; Date.now() < end;) {
        const message = await channel.get(queue);
        if (message)
            return message;
    }
    throw new Error(`nothing comes to ${queue}`);
};

check('confirm channel publishes and consumes in order', async (connection) => {
    const channel = await connection.createConfirmChannel();
    const {queue} = await channel.assertQueue('', {exclusive: true});
    const got = [];
    for (let i = 0; i < 500; i++)
        channel.sendToQueue(queue, Buffer.from(String(i)), {headers: {i}});
    await channel.waitForConfirms();
    await channel.consume(queue, (m) => {
        got.push(m);
        if (got.length % 50 === 0)
            channel.ack(m, true);
    });
    await becomes('the last message', () => got.length === 500);
    got.forEach((m, i) => {
        assert.strictEqual(m.content.toString(), String(i));
        assert.strictEqual(m.properties.headers.i, i);
    });
    await channel.close();
});

check('exchanges of each type route', async (connection) => {
    const channel = await connection.createConfirmChannel();
    const {queue} = await channel.assertQueue('', {exclusive: true});
    for (const [type, key, args] of [['direct', 'k'], ['fanout', ''], ['topic', '#'],
        ['headers', '', {'x-match': 'any', colour: 'red', size: 3}]]) {
        await channel.assertExchange(`amqplib.${type}`, type, {autoDelete: true});
        await channel.bindQueue(queue, `amqplib.${type}`, key, args);
        channel.publish(`amqplib.${type}`, 'k', Buffer.from(type), {headers: {size: 3}});
        await channel.waitForConfirms();
        assert.strictEqual((await take(channel, queue)).content.toString(), type);
    }
    await channel.assertExchange('amqplib.outer', 'fanout', {autoDelete: true});
    await channel.bindExchange('amqplib.fanout', 'amqplib.outer', '');
    channel.publish('amqplib.outer', '', Buffer.from('through'));
    await channel.waitForConfirms();
    assert.strictEqual((await take(channel, queue)).fields.exchange, 'amqplib.outer');
    await channel.close();
});

check('mandatory message returns', async (connection) => {
    const channel = await connection.createConfirmChannel();
    const returned = [];
    channel.on('return', (m) => returned.push(m));
    channel.publish('', 'amqplib.none', Buffer.from('lost'), {mandatory: true});
    await channel.waitForConfirms();
    assert.strictEqual(returned.length, 1);
    assert.strictEqual(returned[0].fields.replyText, 'NO_ROUTE');
    await channel.close();
});

check('rejected message is dead-lettered', async (connection) => {
    const channel = await connection.createChannel();
    const dead = (await channel.assertQueue('', {exclusive: true})).queue;
    const {queue} = await channel.assertQueue('', {
        exclusive: true, deadLetterExchange: '', deadLetterRoutingKey: dead,
    });
    channel.sendToQueue(queue, Buffer.from('bad'));
    channel.nack(await take(channel, queue), false, false);
    const message = await take(channel, dead);
    assert.strictEqual(message.properties.headers['x-death'][0].queue, queue);
    assert.strictEqual(message.properties.headers['x-death'][0].reason, 'rejected');
    await channel.close();
});

check('prefetch holds deliveries back', async (connection) => {
    const channel = await connection.createConfirmChannel();
    const {queue} = await channel.assertQueue('', {exclusive: true});
    const got = [];
    for (let i = 0; i < 10; i++)
        channel.sendToQueue(queue, Buffer.from(String(i)));
    await channel.waitForConfirms();
    await channel.prefetch(2);
    await channel.consume(queue, (m) => got.push(m));
    await becomes('the second message', () => got.length >= 2);
    await channel.checkQueue(queue);
    await channel.checkQueue(queue);
    assert.strictEqual(got.length, 2);
    channel.ack(got[1], true);
    await becomes('the fourth message', () => got.length === 4);
    await channel.close();
});

check('questions are answered through direct reply-to', async (connection) => {
    const server = await connection.createChannel();
    const client = await connection.createChannel();
    const {queue} = await server.assertQueue('', {exclusive: true});
    const answers = [];
    await server.consume(queue, (m) => {
        server.sendToQueue(m.properties.replyTo, Buffer.from(`re: ${m.content}`),
            {correlationId: m.properties.correlationId});
        server.ack(m);
    });
    await client.consume('amq.rabbitmq.reply-to', (m) => answers.push(m), {noAck: true});
    client.sendToQueue(queue, Buffer.from('hello'),
        {replyTo: 'amq.rabbitmq.reply-to', correlationId: '1'});
    await becomes('the answer', () => answers.length === 1);
    assert.strictEqual(answers[0].content.toString(), 're: hello');
    await server.close();
    await client.close();
});

check('missing queue closes the channel alone', async (connection) => {
    const channel = await connection.createChannel();
    let seen;
    channel.on('error', (error) => { seen = error; });
    await assert.rejects(channel.checkQueue('amqplib.none'), /NOT_FOUND - no queue 'amqplib.none'/);
    assert.strictEqual(seen.code, 404);
    const other = await connection.createChannel();
    await other.assertQueue('', {exclusive: true});
    await other.close();
});

check('cancelled consumer is told', async (connection) => {
    const channel = await connection.createChannel();
    let cancelled = false;
    await channel.assertQueue('amqplib.gone', {durable: false});
    await channel.consume('amqplib.gone', (m) => { cancelled = cancelled || m === null; });
    await channel.deleteQueue('amqplib.gone');
    await becomes('the cancel', () => cancelled);
    await channel.close();
});

check('large message comes whole', async (connection) => {
    const channel = await connection.createConfirmChannel();
    const {queue} = await channel.assertQueue('', {exclusive: true});
    const body = Buffer.alloc(1000000, 'leveret');
    channel.sendToQueue(queue, body);
    await channel.waitForConfirms();
    assert.ok((await take(channel, queue)).content.equals(body));
    await channel.close();
});

check('wrong password is refused', async () => {
    await assert.rejects(amqp.connect(`amqp://guest:wrong@${host}:${port}`), /ACCESS.REFUSED/);
});

(async () => {
    let failed = 0;
    const connection = await amqp.connect(url);
    connection.on('error', (error) => console.error(error));
    for (const {name, run} of checks) {
        try {
            await run(connection);
            console.log(`ok ${name}`);
        } catch (error) {
            failed++;
            console.error(error);
            console.log(`not ok ${name}: ${String(error.message).replace(/\s+/g, ' ')}`);
        }
    }
    await connection.close().catch(() => {});
    process.exit(failed ? 1 : 0);
})().catch((error) => {
    console.error(error);
    console.log(`not ok amqplib: ${error.message}`);
    process.exit(1);
});
