/** A real server's process, for tests that want several: `src/node.ts` with a clock that its parent moves by messages. */
import { start } from '../../src/node.ts';
import { readConfig } from '../../src/server/config.ts';

let aheadMs = 0;

const server = await start({
  config: readConfig(process.env),
  clock: { now: () => Date.now() + aheadMs },
  report: (error) => process.send?.({ reported: String(error) }),
  isScheduled: false,
});
process.on('message', (message: { aheadMs: number }) => {
  aheadMs = message.aheadMs;
  process.send?.({ aheadMs });
});
process.send?.({ url: server.url });
process.once('SIGTERM', () => void server.close().then(() => process.exit(0)));
