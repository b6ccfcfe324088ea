/**
 * Has the newest checkpoint cosigned by the configured witnesses (C2SP tlog-witness). Publication never waits for it: a checkpoint
 * is served as soon as the log has signed it, and gains a witness's line when that comes. Each witness is asked by itself, so one
 * that is silent, slow or wrong takes nothing from the others.
 */
import { ProtocolError } from '../../../crypto/format/errors.ts';
import { formatGrowth } from '../../../crypto/log/checkpoint.ts';
import { readCosignatures } from '../../../crypto/log/note.ts';
import { proveConsistency } from '../../../crypto/log/tree.ts';
import type { Witness } from '../config.ts';
import type { Ports } from '../ports.ts';
import type { CheckpointRow } from '../store.ts';
import { countedFetch } from '../budget.ts';
import { publishedHashes } from './publish.ts';

const TIMEOUT_MS = 5_000;
/** Room for the lines of a witness with several keys, post-quantum ones included. */
const LONGEST_ANSWER = 65_536;
/** A witness that failed is left alone for so long. */
const PATIENCE_MS = 30_000;
/** One attempt with what is remembered, and one with what the witness then says. */
const MOST_ATTEMPTS = 2;

/** A witness that did not cosign, in words for the operator. One that says 409 or 422 may have seen another history of this log. */
export class WitnessError extends Error {
  constructor(witness: string, message: string) {
    super(`witness ${witness}: ${message}`);
    this.name = 'WitnessError';
  }
}

/** What is remembered of a witness; lost with the process, since a witness says by itself where it stands. */
interface Acquaintance {
  /** Size of the newest tree that it cosigned; 0 where that is not known. */
  size: number;
  askAgainMs: number;
  /** The failure that was told last: one is told once, however often it comes. */
  told: string;
}

/** The job: answers how many cosignatures came. `report` is told of a failure when it begins. */
export function createWitnessing(
  { store, clock, budget }: Ports,
  witnesses: readonly Witness[],
  report: (error: unknown) => void,
): () => Promise<number> {
  const known = witnesses.map((witness): [Witness, Acquaintance] => [witness, { size: 0, askAgainMs: 0, told: '' }]);
  return async () => {
    if (known.length === 0) return 0;
    const newest = await store.newestCheckpoint();
    if (!newest) return 0;
    const now = clock.now();
    const came = await Promise.all(known.map((pair) => ask(newest, now, ...pair)));
    return came.filter(Boolean).length;
  };

  async function ask(newest: CheckpointRow, now: number, witness: Witness, acquaintance: Acquaintance) {
    if (acquaintance.size >= newest.size || now < acquaintance.askAgainMs) return false;
    try {
      await cosign(newest, witness, acquaintance);
      acquaintance.told = '';
      return true;
    } catch (error) {
      const failure = asWitnessError(error, witness);
      acquaintance.askAgainMs = now + PATIENCE_MS;
      if (failure.message !== acquaintance.told) report(failure);
      acquaintance.told = failure.message;
      return false;
    }
  }

  async function cosign({ size, note }: CheckpointRow, witness: Witness, acquaintance: Acquaintance): Promise<void> {
    const { name } = witness.key;
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const old = acquaintance.size;
      const hashes = old === 0 || old === size ? [] : await proveConsistency(old, size, publishedHashes(store, size));
      const { status, text } = await post(
        countedFetch(budget),
        `${witness.url}/add-checkpoint`,
        formatGrowth(old, hashes, note),
      );
      if (status === 200) {
        const [signature] = await readCosignatures(note, text, [witness.key]);
        if (!signature) throw new WitnessError(name, 'it answered with no line of its own key');
        // Not held: this witness had cosigned it for another server already.
        await store.cosign(size, name, signature.line);
        acquaintance.size = size;
        return;
      }
      if (status !== 409) throw new WitnessError(name, `it answered with ${status}`);
      const stands = /^(0|[1-9]\d{0,15})\n$/.exec(text)?.[1];
      if (stands === undefined || Number(stands) === old)
        throw new WitnessError(name, `it has another tree of ${old} entries: two histories of this log may exist`);
      // Another server over this store may have come further meanwhile; otherwise it has seen entries that are not here.
      if (Number(stands) > size && Number(stands) > (await store.logSize()))
        throw new WitnessError(
          name,
          `it has seen ${stands} entries, and the log has fewer: was an old database restored?`,
        );
      acquaintance.size = Number(stands);
      if (Number(stands) > size) return;
    }
    throw new WitnessError(name, 'its tree keeps changing');
  }
}

async function post(send: typeof fetch, url: string, body: string): Promise<{ status: number; text: string }> {
  const response = await send(url, {
    method: 'POST',
    body,
    headers: { 'content-type': 'text/plain; charset=utf-8' },
    redirect: 'manual',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  let text = '';
  const decoder = new TextDecoder();
  for await (const piece of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    text += decoder.decode(piece, { stream: true });
    if (text.length > LONGEST_ANSWER) throw new ProtocolError('log', `more than ${LONGEST_ANSWER} characters`);
  }
  return { status: response.status, text };
}

/** Throws what is no fault of the witness. */
function asWitnessError(error: unknown, { key }: Witness): WitnessError {
  if (error instanceof WitnessError) return error;
  if (error instanceof ProtocolError) return new WitnessError(key.name, `its answer does not hold: ${error.message}`);
  // What fetch throws: nobody there, a cut connection, a timeout.
  if (error instanceof TypeError || error instanceof DOMException) return new WitnessError(key.name, 'no answer');
  throw error;
}
