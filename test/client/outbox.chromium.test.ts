/** The outbox's contract over IndexedDB, in a real Chromium. */
import { expect } from 'vitest';
import { bundleFor } from '../crypto/runtimes/bundle.ts';
import { inChromium, testInChromium } from '../crypto/runtimes/chromium.ts';

testInChromium(
  'an outbox in a browser keeps what every outbox keeps',
  async () => {
    const script = await bundleFor(`
      import { runFiles } from './frame.ts';
      import { outboxContract } from '../../client/outbox-contract.ts';
      import { openBrowserOutbox } from '../../../src/client/outbox-indexeddb.ts';
      let places = 0;
      const newPlace = async () => {
        const name = 'outbox ' + places++;
        return {
          open: (options) => openBrowserOutbox({ name, ...options }),
          remove: () => new Promise((resolve, reject) => {
            const gone = indexedDB.deleteDatabase(name);
            gone.onsuccess = resolve;
            gone.onerror = reject;
          }),
        };
      };
      globalThis.report = await runFiles({ outbox: async () => outboxContract(newPlace) });
    `);
    const report = await inChromium(script);
    expect(report.failed).toEqual([]);
    expect(report.passed).toBe(7);
  },
  120_000,
);
