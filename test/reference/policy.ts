/** Section 5: policies. */
import { base64urlnopad, bech32m } from '@scure/base';
import { z } from 'zod';
import { Fields, h, must, orRefuse, Refused, same } from './fields.ts';
import { checkKey, keyIdOf, mustBeSigned } from './primitives.ts';

/** A bech32m key in lower case: its prefix and its bytes. */
export function readKey(text: string): { prefix: string; bytes: Buffer } {
  const { prefix, words } = bech32m.decode(text as `${string}1${string}`, false);
  must(text === text.toLowerCase(), 'format');
  return { prefix, bytes: Buffer.from(bech32m.fromWords(words)) };
}

export function readIdentity(text: string): Buffer {
  const { prefix, bytes } = orRefuse('format', () => readKey(text));
  must(prefix === 'zrid', 'format');
  checkKey(bytes);
  return bytes;
}

const id = z.string().refine((text) => base64urlnopad.decode(text).length === 16);
const hash = z.string().refine((text) => base64urlnopad.decode(text).length === 32);
const suite = z.literal([1, 2]);
const recipientSchema = z
  .strictObject({
    ...{ role: z.literal([1, 2, 3]), suite, pk: z.string(), key_id: id },
    ...{ identity: z.string().refine(readIdentity), label: z.string().min(1).max(200) },
  })
  .refine((recipient) => {
    const { prefix, bytes } = readKey(recipient.pk);
    const [expected, length] = recipient.suite === 1 ? ['zrbox', 32] : ['zrpq', 1216];
    const keyId = keyIdOf(recipient.suite, bytes).toString('base64url');
    return prefix === expected && bytes.length === length && keyId === recipient.key_id;
  });

const platformSchema = z.strictObject({
  ...{ issuer: z.string().min(1).max(500), client_id: z.string().min(1).max(500) },
  ...{ deployment_id: z.string().min(1).max(500), keys: z.array(hash).max(16) },
});

const policySchema = z
  .strictObject({
    ...{ v: z.literal(1), exam_id: id, title: z.string().min(1).max(500), seq: z.int().min(0) },
    ...{ prev_policy_hash: hash.nullable(), owner: z.string().refine(readIdentity) },
    ...{ not_before: z.int().min(0), not_after: z.int(), admission: z.enum(['ticket', 'launch', 'link']) },
    ...{ platform: platformSchema.optional(), min_suite: suite },
    tracks: z
      .array(z.strictObject({ id: z.int().min(0).max(65_535), kind: z.int().min(1).max(7), required: z.boolean() }))
      .min(1)
      .max(16),
    recipients: z.array(recipientSchema).min(1).max(64),
    ...{ retention_days: z.int().min(1).max(30), practice: z.boolean() },
    capture: z.record(z.string().max(64), z.union([z.boolean(), z.number(), z.string().max(500)])),
    notice: z.strictObject({ text: z.string().max(32_768), contact: z.string().max(500) }),
    log: z.strictObject({ origin: z.string().min(1).max(200), vkey: z.string().min(1).max(500) }),
  })
  .refine(({ not_before, not_after }) => not_before < not_after)
  .refine(({ seq, prev_policy_hash: previous }) => (seq === 0) === (previous === null))
  .refine(({ admission, platform }) => (admission === 'launch') === (platform !== undefined))
  .refine(({ tracks }) => new Set(tracks.map((track) => track.id)).size === tracks.length)
  .refine(({ recipients }) => new Set(recipients.map(({ key_id }) => key_id)).size === recipients.length)
  .refine(({ recipients }) => recipients.some(({ role }) => role === 1))
  .refine(({ recipients, min_suite }) => recipients.every((recipient) => recipient.suite >= min_suite));
export type Policy = z.infer<typeof policySchema>;

/** Keys in a JSON value, and the depth of its nesting. */
function measure(value: unknown): { keys: number; depth: number } {
  if (typeof value !== 'object' || value === null) return { keys: 0, depth: 0 };
  const parts = Object.values(value).map(measure);
  const own = Array.isArray(value) ? 0 : parts.length;
  return {
    keys: parts.reduce((sum, { keys }) => sum + keys, own),
    depth: 1 + Math.max(0, ...parts.map(({ depth }) => depth)),
  };
}

/** JSON with one reading: a repeated key is lost in parsing, so fewer keys come out than stand in the text. */
function parseJson(bytes: Buffer): unknown {
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  const value: unknown = JSON.parse(text);
  const { keys, depth } = measure(value);
  must(keys === [...text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?/g)].filter(([, colon]) => colon).length, 'policy');
  must(depth <= 32, 'policy');
  return value;
}

export interface Pins {
  examId?: string;
  ownerHash: Uint8Array;
  minSeq?: number;
  at?: number;
}

/** Envelope, signatures, pinned owner, and only then the JSON. */
export function readPolicy(record: Buffer, pins: Pins): { policy: Policy; hash: Buffer } {
  const f = new Fields(record, 'ZRPL');
  const length = f.int(4);
  must(length <= 262_144, 'limit');
  const body = f.take(length);
  const count = f.int(1);
  must(count >= 1 && count <= 16, 'limit');
  const signatures = f.list(count, () => [f.take(32), f.take(64)] as const);
  f.end();
  const digest = h('policy', body);
  try {
    for (const [key, signature] of signatures) mustBeSigned(key, 'policy', digest, signature);
    must(new Set(signatures.map(([key]) => key.toString('hex'))).size === count, 'policy');
    const policy = policySchema.parse(parseJson(body));
    const owner = readIdentity(policy.owner);
    must(
      signatures.some(([key]) => same(key, owner)),
      'policy',
    );
    must(same(h('fingerprint', Buffer.of(0, 255), owner), pins.ownerHash), 'policy');
    must(policy.exam_id === (pins.examId ?? policy.exam_id) && policy.seq >= (pins.minSeq ?? 0), 'policy');
    const at = pins.at ?? policy.not_before;
    must(at >= policy.not_before && at < policy.not_after, 'policy');
    return { policy, hash: digest };
  } catch {
    throw new Refused('policy');
  }
}
