/**
 * Which of the log's keys an exam's people pinned. An exam keeps the key that it began with for as long as it lives: its policies pin it,
 * its recorders check receipts by it, and its students' certificates lead to a checkpoint that it signed (LOG.md section 11).
 */
import { parsePolicy } from '../../../crypto/format/policy.ts';
import type { Ports, Signer } from '../ports.ts';
import { vkeyOf } from '../signing.ts';
import type { CheckpointRow } from '../store.ts';

/** Bookmark: the size of the last checkpoint that a retired key signed. */
export function retirementOf(vkey: string): string {
  return `log: retired ${vkey}`;
}

export interface LogKeys {
  /** Verifier key of the log as this exam's policies pin it; the current one for an exam that is not here. */
  pinnedBy(examId: string): Promise<string>;
  /** Signs receipts for this exam's recorders. */
  signerFor(examId: string): Promise<Signer>;
  /** The newest checkpoint that verifies under the pinned key. */
  checkpointFor(examId: string): Promise<CheckpointRow | undefined>;
}

export function createLogKeys({ store, signer }: Pick<Ports, 'store' | 'signer'>): LogKeys {
  const pinned = new Map<string, string>();
  const standing = [signer, ...(signer.former ? [signer.former] : [])];

  async function pinnedBy(examId: string): Promise<string> {
    const known = pinned.get(examId);
    if (known !== undefined) return known;
    const row = await store.latestPolicy(examId);
    if (!row) return vkeyOf(signer);
    const { policy } = await parsePolicy(row.bytes);
    pinned.set(examId, policy.log.vkey);
    return policy.log.vkey;
  }

  return {
    pinnedBy,
    async signerFor(examId) {
      // Nothing is read where there is nothing to choose: every head asks.
      if (!signer.former) return signer;
      const vkey = await pinnedBy(examId);
      return standing.find((one) => vkeyOf(one) === vkey) ?? signer;
    },
    async checkpointFor(examId) {
      const vkey = await pinnedBy(examId);
      if (standing.some((one) => vkeyOf(one) === vkey)) return store.newestCheckpoint();
      const size = await store.bookmark(retirementOf(vkey));
      return size === undefined ? store.newestCheckpoint() : store.checkpointAt(Number(size));
    },
  };
}
