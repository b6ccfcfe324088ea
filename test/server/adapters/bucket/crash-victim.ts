/** The process that the crash test kills: an embedded bucket that prints its endpoint and serves until it dies. */
import { startEmbeddedBucket } from '../../../../src/server/adapters/embedded-bucket/index.ts';

const [dir, port] = process.argv.slice(2);
const { endpoint } = await startEmbeddedBucket({
  dir: dir!,
  port: Number(port),
  credentials: { accessKeyId: 'CRASH', secretAccessKey: 'crash-secret' },
  buckets: ['crash'],
});
process.stdout.write(`${endpoint}\n`);
