/** One holder at a time for each job, across servers. A lease that is not renewed ends by itself, so a crash blocks nobody for long. */
import { newId } from '../../../crypto/format/ids.ts';
import type { Ports } from '../ports.ts';

const LEASE_MS = 10 * 60_000;

/** Renewed at the earliest after this long, so that whoever works may ask for it at every step. */
const RENEW_AFTER_MS = 60_000;

/** Why a run ends before its work is done. Not a failure of what it was working on. */
export class Stopped extends Error {}

export class LeaseLostError extends Stopped {}

/** The run has used what it may use (budget.ts): the next one goes on. */
export class BudgetSpentError extends Stopped {}

/**
 * Runs `work` while this call holds the lease; false when somebody else does. `renew` throws once the lease is lost, so that a run
 * which outlived it stops; and once the budget is spent, which ends the run in good order. The work itself must stay correct without
 * a lease: it only saves doing it twice.
 */
export async function withLease(
  { store, clock, budget }: Ports,
  name: string,
  work: (renew: () => Promise<void>) => Promise<void>,
): Promise<boolean> {
  const holder = newId();
  let takenMs = 0;
  const take = async () => {
    takenMs = clock.now();
    return store.lease(name, holder, takenMs, takenMs + LEASE_MS);
  };
  if (!(await take())) return false;
  try {
    await work(async () => {
      if (budget?.isSpent() === true) throw new BudgetSpentError(`${name}: the budget is spent`);
      // A clock that stepped back counts as time that passed.
      if (Math.abs(clock.now() - takenMs) < RENEW_AFTER_MS) return;
      if (!(await take())) throw new LeaseLostError(`the lease ${name} was lost`);
    });
  } catch (error) {
    if (!(error instanceof BudgetSpentError)) throw error;
  } finally {
    await store.unlease(name, holder);
  }
  return true;
}
