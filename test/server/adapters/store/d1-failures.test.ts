/** D1's failures in the words of its documentation (developers.cloudflare.com/d1/observability/debug-d1), and what a client is told. */
import { expect, test } from 'vitest';
import { type D1Binding, openD1Store } from '../../../../src/server/adapters/d1.ts';
import { createApp } from '../../../../src/server/app.ts';
import type { Ports } from '../../../../src/server/ports.ts';
import { expectRefusal } from '../../refusal.ts';

const ID = 'A'.repeat(22);

function failing(message: string): D1Binding {
  const reject = () => Promise.reject(new Error('D1_ERROR', { cause: new Error(message) }));
  const prepared = { bind: () => prepared, raw: reject };
  return { prepare: () => prepared, batch: reject };
}

test.each([
  ['D1 DB is overloaded. Requests queued for too long.', 'busy', 503, 'busy'],
  ['D1 DB is overloaded. Too many requests queued.', 'busy', 503, 'busy'],
  ['Network connection lost.', 'unavailable', 503, 'database-unavailable'],
  ['D1 DB reset because its code was updated.', 'unavailable', 503, 'database-unavailable'],
  [
    'Internal error while starting up D1 DB storage caused object to be reset.',
    'unavailable',
    503,
    'database-unavailable',
  ],
  ['Cannot resolve D1 DB due to transient issue on remote node.', 'unavailable', 503, 'database-unavailable'],
  [
    'D1 DB storage operation exceeded timeout which caused object to be reset.',
    'unavailable',
    503,
    'database-unavailable',
  ],
  ['Exceeded maximum DB size.', 'full', 507, 'storage-full'],
  ['no such table: recordings: SQLITE_ERROR', 'version', 500, 'internal'],
  ['too many SQL variables at offset 0: SQLITE_ERROR', 'refused', 500, 'internal'],
] as const)('%s', async (message, code, status, told) => {
  const store = openD1Store(failing(message));
  await expect(store.recording(ID)).rejects.toMatchObject({ code });
  // The route reads the store and nothing else.
  const app = createApp({ store, bucket: {}, vault: {}, signer: {}, clock: { now: () => 0 } } as unknown as Ports);
  const response = await app.request(`/v1/exams/${ID}/policy`);
  const body: unknown = await response.json();
  expectRefusal({ status: response.status, headers: response.headers, body }, status, told);
  expect(response.headers.get('retry-after')).toBe(status === 503 ? '1' : null);
});
