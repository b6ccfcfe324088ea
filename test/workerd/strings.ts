import { fromBase64Url, toBase64Url } from '../../crypto/format/bytes.ts';

/** How a test speaks to `entry.ts`, in headers that the product does not know. */
export const HEADERS = {
  /** The Worker's time from now on, ms. */
  now: 'x-test-now',
  /** An `Appointment` as JSON. */
  appointment: 'x-test-appointment',
  /** In the answer: how many calls of ports the request took. */
  calls: 'x-test-calls',
  /** In the answer: a list of `Reported` as JSON in percent-encoding, since the answer before. */
  reported: 'x-test-reported',
} as const;

/** Call number `at` of this request fails, or is the last thing that its invocation does: before it is done, or after. */
export interface Appointment {
  at: number;
  end: 'fails' | 'dies';
  isDone: boolean;
}

/** Calls to anything outside of an isolate, and the SQL statements in them. */
export interface Left {
  subrequests: number;
  statements: number;
}

export interface Reported {
  name: string;
  message: string;
}

/** JSON that knows bytes, maps and undefined: arguments and answers of ports. */
export function encode(value: unknown): string {
  return JSON.stringify({ value }, (_, member: unknown) => {
    if (member === undefined) return { $undefined: true };
    if (member instanceof Uint8Array) return { $bytes: toBase64Url(member) };
    return member instanceof Map ? { $map: [...(member as Map<unknown, unknown>)] } : member;
  });
}

export function decode(text: string): unknown {
  const parsed = JSON.parse(text, (_, member: Record<string, unknown> | null) => {
    if (typeof member !== 'object' || member === null) return member;
    if ('$bytes' in member) return fromBase64Url(member['$bytes'] as string);
    return '$map' in member ? new Map(member['$map'] as [unknown, unknown][]) : member;
  }) as { value: unknown };
  return revive(parsed.value);
}

/** A reviver's undefined deletes the member instead. */
function revive(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array || value instanceof Map) return value;
  if ('$undefined' in value) return undefined;
  for (const [name, member] of Object.entries(value)) (value as Record<string, unknown>)[name] = revive(member);
  return value;
}
