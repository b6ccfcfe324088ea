/** What this browser remembers for its reviewer; nothing of it is secret, and nothing of it says anything of a student. */
import { readWeights, type Weights } from './ranking.ts';

const OWNERS = 'zeroreel.owners';
const WEIGHTS = 'zeroreel.weights';
const SHORTCUTS = 'zeroreel.shortcuts';

/** Owners of exams whose fingerprints the reviewer has compared: base64url of 32 bytes each. */
export function trustedOwners(): string[] {
  const kept = read(OWNERS);
  return Array.isArray(kept) ? kept.filter((owner) => typeof owner === 'string') : [];
}

export function trustOwner(ownerHashB64: string): void {
  write(OWNERS, [...new Set([...trustedOwners(), ownerHashB64])]);
}

export function keptWeights(): Weights {
  return readWeights(read(WEIGHTS));
}

export function keepWeights(weights: Weights): void {
  write(WEIGHTS, weights);
}

/** Whether single keys do something: who dictates or uses a switch may turn that off (WCAG 2.1.4). */
export function hasShortcuts(): boolean {
  return read(SHORTCUTS) !== false;
}

export function keepShortcuts(isOn: boolean): void {
  write(SHORTCUTS, isOn);
}

function read(name: string): unknown {
  try {
    return JSON.parse(localStorage.getItem(name) ?? 'null');
  } catch {
    return null;
  }
}

function write(name: string, value: unknown): void {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // A browser that keeps nothing asks again.
  }
}
