// Apache's Node.js gRPC client against an endpoint that asks who it is: root / $ROOT_PASSWORD. The topic $PREFIX-secured is there.
import { createRequire } from 'node:module';
const { add, later, check, until, env, runAll } = await import('./h.mjs');
const require = createRequire(import.meta.url);
const { Producer, PushConsumer, ConsumeResult } = require('rocketmq-client-nodejs');
const topic = `${env('PREFIX')}-secured`;
const quiet = { info() {}, warn() {}, error() {}, debug() {} };
const base = { endpoints: env('GRPC_ENDPOINT'), namespace: '', logger: quiet, requestTimeout: 5000 };
const root = { accessKey: 'root', accessSecret: env('ROOT_PASSWORD'), securityToken: '' };
const producer = async (sessionCredentials) => { const p = new Producer({ ...base, sessionCredentials }); later(() => p.shutdown()); await p.startup(); return p; };
async function refused(credentials) {
  let told = '';
  try { const p = await producer(credentials); await p.send({ topic, body: Buffer.from('x') }); } catch (e) { told = `${e.name} ${e.message} ${e.code ?? ''}`; }
  check(told !== '', 'was let in');
  check(/40100|unauthor/i.test(told), `refused without the code for it: ${told}`);
}
add('super-user', 60, async () => {
  const got = new Set();
  const c = new PushConsumer({ ...base, sessionCredentials: root, consumerGroup: `${env('PREFIX')}-g-secured`, subscriptions: new Map([[topic, '*']]), longPollingTimeout: 5000, messageListener: { async consume(m) { got.add(m.body.toString()); return ConsumeResult.SUCCESS; } } });
  later(() => c.shutdown()); await c.startup();
  const p = await producer(root);
  for (let i = 0; i < 10; i++) await p.send({ topic, body: Buffer.from('m' + i) });
  await until(40, () => `10 messages, have ${got.size}`, () => got.size === 10);
});
add('no-credentials', 30, () => refused(undefined));
add('wrong-password', 30, () => refused({ ...root, accessSecret: 'no' }));
add('unknown-user', 30, () => refused({ ...root, accessKey: 'nobody' }));
await runAll('secured-node', 2);
