/** One holder at a time, on however many servers. A lease that is not renewed ends by itself, so a crash blocks nobody for long. */
import { newId } from '../../../crypto/format/ids.ts';
import type { Ports } from '../ports.ts';

const LEASE_MS = 10 * 60_000;

export class LeaseLostError extends Error {}

/**
 * Runs `work` while this call holds the lease; false when somebody else does. `renew` throws once the lease is lost, so
 * that a run which outlived it stops. The work itself must stay correct without a lease: it only saves doing it twice.
 */
export async function withLease(
  { store, clock }: Ports,
  name: string,
  work: (renew: () => Promise<void>) => Promise<void>,
): Promise<boolean> {
  const holder = newId();
  const take = async () => {
    const now = clock.now();
    return store.lease(name, holder, now, now + LEASE_MS);
  };
  if (!(await take())) return false;
  try {
    await work(async () => {
      if (!(await take())) throw new LeaseLostError(`the lease ${name} was lost`);
    });
  } finally {
    await store.unlease(name, holder);
  }
  return true;
}
