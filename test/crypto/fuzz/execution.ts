/** One execution of a parser, within its limits. */
import { getHeapStatistics } from 'node:v8';
import { toHex, type Bytes } from '../../../crypto/format/bytes.ts';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import type { Target } from './parsers.ts';

/**
 * The most that a parser may allocate for an input of `length` bytes. The constant pays for errors and for what the compiler leaves on
 * the heap; a size that is declared and not there is above it.
 */
export const MOST_HEAP = (length: number): number => 512 * 1024 + 64 * length;

/** What a parser must not do; the input is in the message, for a vector. */
export class Fault extends Error {}

/** Long inputs are grown ones, which a seed repeats. */
export const shown = (input: Bytes): string => (input.length <= 4096 ? toHex(input) : `${input.length} bytes`);

/** Bytes on the heap and in array buffers. It only falls in a collection, which hides an excess by chance and never makes one up. */
function heap(): number {
  const { used_heap_size: used, external_memory: external } = getHeapStatistics();
  return used + external;
}

/** Parses once. Answers the code of the refusal, or `accepted`, and the bytes that were taken. */
function parseOnce({ name, parse }: Target, input: Bytes): { outcome: string; taken: number } {
  const before = heap();
  let outcome = 'accepted';
  try {
    parse(input);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw new Fault(`${name} threw on ${shown(input)}`, { cause: error });
    outcome = error.code;
  }
  return { outcome, taken: heap() - before };
}

/**
 * Runs one input; answers the code of the refusal, or `accepted`. Throws a `Fault` for anything else, or for too much memory three times
 * over: once in some million parses the engine itself takes as much in between, and what a parser takes it takes every time.
 */
export function run(target: Target, input: Bytes): string {
  const { outcome, taken } = parseOnce(target, input);
  const isOver = (bytes: number): boolean => bytes > MOST_HEAP(input.length);
  if (isOver(taken) && isOver(parseOnce(target, input).taken) && isOver(parseOnce(target, input).taken)) {
    throw new Fault(`${target.name} took ${taken} bytes of memory for ${shown(input)}`);
  }
  return outcome;
}
