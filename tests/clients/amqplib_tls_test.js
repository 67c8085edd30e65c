// amqplib over TLS.
'use strict';

const amqp = require('amqplib');
const assert = require('assert');
const fs = require('fs');

const host = process.env.AMQP_HOST;
const port = process.env.AMQPS_PORT;
const ca = [fs.readFileSync(`${process.env.AMQPS_CERTIFICATES}/ca_certificate.pem`)];
const url = `amqps://guest:guest@${host}:${port}`;

const checks = [];
const check = (name, run) => checks.push({name, run});

check('messages come back over TLS', async () => {
    const connection = await amqp.connect(url, {ca});
    const channel = await connection.createConfirmChannel();
    const {queue} = await channel.assertQueue('', {exclusive: true});
    for (const size of [0, 1, 16384, 300000]) {
        const body = Buffer.alloc(size, 'x');
        channel.sendToQueue(queue, body);
        await channel.waitForConfirms();
        const message = await channel.get(queue, {noAck: true});
        assert.ok(message.content.equals(body));
    }
    await connection.close();
});

check('TLS 1.2 is spoken too', async () => {
    const connection = await amqp.connect(url, {ca, maxVersion: 'TLSv1.2'});
    await connection.close();
});

const own = {
    ca,
    cert: fs.readFileSync(`${process.env.AMQPS_CERTIFICATES}/client_certificate.pem`),
    key: fs.readFileSync(`${process.env.AMQPS_CERTIFICATES}/client_key.pem`),
};
const external = amqp.credentials.external();

check('a certificate logs in without a password', async () => {
    const connection = await amqp.connect(url, {...own, credentials: external});
    const channel = await connection.createChannel();
    await channel.assertQueue('', {exclusive: true});
    await connection.close();
});

check('without a certificate EXTERNAL is refused', async () => {
    await assert.rejects(amqp.connect(url, {ca, credentials: external}), /EXTERNAL|403|closed/);
});

check('an unknown authority is refused by the client', async () => {
    await assert.rejects(amqp.connect(url), /self.signed|unable to/);
});

(async () => {
    let failed = 0;
    for (const {name, run} of checks) {
        try {
            await run();
            console.log(`ok ${name}`);
        } catch (e) {
            console.log(`not ok ${name}: ${e.message}`);
            failed++;
        }
    }
    process.exit(failed ? 1 : 0);
})();
