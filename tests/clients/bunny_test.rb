# Bunny, the Ruby client.
require 'bunny'

DEADLINE_S = 10
$failed = 0

def check(name)
  yield
  puts "ok #{name}"
rescue StandardError, Timeout::Error => e
  $failed += 1
  warn e.full_message
  puts "not ok #{name}: #{e.message.split.join(' ')}"
ensure
  $stdout.flush
end

def equal(actual, expected)
  raise "expected #{expected.inspect}, got #{actual.inspect}" unless actual == expected
end

def take(queue)
  finish = Time.now + DEADLINE_S
  while Time.now < finish
    delivery, properties, body = queue.pop(manual_ack: true)
    return delivery, properties, body if delivery
  end
  raise "nothing comes to #{queue.name}"
end

connection = Bunny.new(host: ENV['AMQP_HOST'], port: ENV['AMQP_PORT'].to_i, user: 'guest',
                       password: 'guest', automatically_recover: false, log_level: :error)
connection.start

check 'publishes with confirms and consumes in order' do
  channel = connection.create_channel
  channel.confirm_select
  queue = channel.queue('', exclusive: true)
  100.times { |i| queue.publish(i.to_s, persistent: true, headers: { 'i' => i }) }
  equal(channel.wait_for_confirms, true)
  got = Queue.new
  consumer = queue.subscribe(manual_ack: true) do |delivery, properties, body|
    got << [body.to_i, properties.headers['i']]
    channel.ack(delivery.delivery_tag)
  end
  Timeout.timeout(DEADLINE_S) { 100.times { |i| equal(got.pop, [i, i]) } }
  consumer.cancel
  channel.close
end

check 'routes by topic and between exchanges' do
  channel = connection.create_channel
  outer = channel.topic('bunny.outer', auto_delete: true)
  inner = channel.fanout('bunny.inner', auto_delete: true)
  inner.bind(outer, routing_key: 'log.#')
  queue = channel.queue('', exclusive: true).bind(inner)
  outer.publish('seen', routing_key: 'log.error')
  outer.publish('unseen', routing_key: 'other')
  equal(take(queue)[2], 'seen')
  equal(queue.message_count, 0)
  channel.close
end

check 'rejected message is dead-lettered' do
  channel = connection.create_channel
  dead = channel.queue('', exclusive: true)
  queue = channel.queue('', exclusive: true,
                            arguments: { 'x-dead-letter-exchange' => '',
                                         'x-dead-letter-routing-key' => dead.name })
  queue.publish('bad')
  channel.reject(take(queue)[0].delivery_tag, false)
  _, properties, body = take(dead)
  equal(body, 'bad')
  equal(properties.headers['x-death'][0]['reason'], 'rejected')
  channel.close
end

check 'mandatory message returns' do
  channel = connection.create_channel
  returned = Queue.new
  exchange = channel.default_exchange
  exchange.on_return { |info, _properties, body| returned << [info.reply_text, body] }
  exchange.publish('lost', routing_key: 'bunny.none', mandatory: true)
  equal(Timeout.timeout(DEADLINE_S) { returned.pop }, %w[NO_ROUTE lost])
  channel.close
end

check 'missing queue raises NotFound' do
  channel = connection.create_channel
  begin
    channel.queue_declare('bunny.none', passive: true)
    raise 'no error'
  rescue Bunny::NotFound => e
    equal(e.message.include?("no queue 'bunny.none' in vhost '/'"), true)
  end
end

check 'inequivalent redeclare raises PreconditionFailed' do
  channel = connection.create_channel
  channel.queue('bunny.q', auto_delete: true)
  begin
    connection.create_channel.queue('bunny.q', durable: true)
    raise 'no error'
  rescue Bunny::PreconditionFailed
    connection.create_channel.queue_delete('bunny.q')
  end
end

check 'answers come through direct reply-to' do
  server = connection.create_channel
  requests = server.queue('', exclusive: true)
  requests.subscribe do |_delivery, properties, body|
    server.default_exchange.publish("re: #{body}", routing_key: properties.reply_to)
  end
  client = connection.create_channel
  answers = Queue.new
  client.basic_consume('amq.rabbitmq.reply-to', '', true) { |_d, _p, body| answers << body }
  client.default_exchange.publish('hello', routing_key: requests.name,
                                           reply_to: 'amq.rabbitmq.reply-to')
  equal(Timeout.timeout(DEADLINE_S) { answers.pop }, 're: hello')
end

check 'wrong password raises AuthenticationFailureError' do
  begin
    Bunny.new(host: ENV['AMQP_HOST'], port: ENV['AMQP_PORT'].to_i, user: 'guest',
              password: 'wrong', log_level: :fatal).start
    raise 'logged in'
  rescue Bunny::AuthenticationFailureError, Bunny::PossibleAuthenticationFailureError
    nil
  end
end

connection.close
exit($failed.zero? ? 0 : 1)
