/** The soak in small: `npx tsx test/bench/soak.ts` runs it as long and as wide as one likes. */
import { expect, it } from 'vitest';
import { soak } from './soak.ts';

it(
  'two dozen recorders, refreshed, cut off and killed, lose nothing that was acknowledged',
  { timeout: 600_000 },
  async () => {
    const result = await soak({
      ...{
        recorders: 24,
        seconds: 20,
        workers: 2,
        chunkSeconds: 1,
        headSeconds: 1,
        bytesPerSecond: 500,
        rampSeconds: 4,
      },
      ...{ refreshes: 1, outages: 1, outageSeconds: 3, kills: 1, opened: 6, say: () => undefined },
    });
    expect(result).toMatchObject({ closed: 24, lost: 0, found: {}, faults: [], opened: 6 });
    expect(result.crashes).toBeGreaterThan(0);
    expect(result.acknowledged).toBeGreaterThan(24);
    expect(result.objects).toBeGreaterThanOrEqual(result.acknowledged);
  },
);
