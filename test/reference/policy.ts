/** Policies as schema/PROTOCOL.md section 5 has them: the second implementation's reading of them. */
import { h, must, Refused, same, signatureHolds } from './primitives.ts';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** RFC 8259 by recursive descent; a repeated key or nesting beyond 32 is refused. */
export function parseJson(text: string): Json {
  let at = 0;
  const fail = (): never => {
    throw new Refused('policy', `JSON is wrong at ${at}`);
  };
  const space = () => {
    while (/[ \t\n\r]/.test(text[at] ?? 'x')) at++;
  };
  const token = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const [found] = pattern.exec(text) ?? [fail()];
    at += found.length;
    return found;
  };
  const eat = (character: string): boolean => {
    space();
    if (text[at] !== character) return false;
    at++;
    return true;
  };
  // eslint-disable-next-line no-control-regex -- RFC 8259 forbids exactly these in a string
  const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
  const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
  const string = (): string => JSON.parse(token(STRING)) as string;
  const value = (depth: number): Json => {
    if (depth > 32) fail();
    space();
    if (eat('{')) {
      const pairs = new Map<string, Json>();
      if (eat('}')) return {};
      do {
        space();
        const key = string();
        if (pairs.has(key) || !eat(':')) fail();
        pairs.set(key, value(depth + 1));
      } while (eat(','));
      if (!eat('}')) fail();
      return Object.fromEntries(pairs);
    }
    if (eat('[')) {
      const items: Json[] = [];
      if (eat(']')) return items;
      do items.push(value(depth + 1));
      while (eat(','));
      if (!eat(']')) fail();
      return items;
    }
    if (text[at] === '"') return string();
    const word = /true|false|null/y;
    word.lastIndex = at;
    return JSON.parse(word.test(text) ? token(word) : token(NUMBER)) as Json;
  };
  const whole = value(1);
  space();
  if (at < text.length) fail();
  return whole;
}

const CHARSET = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];

/** BIP 350 without its length limit, lower case only. */
export function parseBech32m(text: string): { prefix: string; bytes: Buffer } {
  const split = text.lastIndexOf('1');
  const prefix = text.slice(0, split);
  const words = Array.from(text.slice(split + 1), (character) => CHARSET.indexOf(character));
  must(split > 0 && words.length >= 6 && !words.includes(-1), 'format');
  let check = 1;
  const codes = Array.from(prefix, (character) => character.charCodeAt(0));
  for (const word of [...codes.map((code) => code >> 5), 0, ...codes.map((code) => code & 31), ...words]) {
    const top = check >>> 25;
    check = ((check & 0x1ffffff) << 5) ^ word;
    GENERATOR.forEach((term, i) => (check ^= (top >> i) & 1 ? term : 0));
  }
  must(check === 0x2bc830a3, 'format');
  let bits = 0;
  let buffer = 0;
  const bytes: number[] = [];
  for (const word of words.slice(0, -6)) {
    buffer = ((buffer << 5) | word) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((buffer >> bits) & 255);
    }
  }
  must(bits < 5 && (buffer & ((1 << bits) - 1)) === 0, 'format');
  return { prefix, bytes: Buffer.from(bytes) };
}

export interface Recipient {
  role: number;
  suite: number;
  pk: string;
  key_id: string;
  identity: string;
  label: string;
}

export interface Policy {
  v: number;
  exam_id: string;
  title: string;
  seq: number;
  prev_policy_hash: string | null;
  owner: string;
  not_before: number;
  not_after: number;
  admission: string;
  min_suite: number;
  tracks: { id: number; kind: number; required: boolean }[];
  recipients: Recipient[];
  retention_days: number;
  practice: boolean;
  capture: Record<string, boolean | number | string>;
  notice: { text: string; contact: string };
  log: { origin: string; vkey: string };
}

/** The fields of each object and what JSON has for them; `?` marks one that may be null. */
const SHAPE: Record<string, string> = {
  ...{ v: 'number', exam_id: 'string', title: 'string', seq: 'number', prev_policy_hash: 'string?', owner: 'string' },
  ...{ not_before: 'number', not_after: 'number', admission: 'string', min_suite: 'number', tracks: 'object' },
  ...{ recipients: 'object', retention_days: 'number', practice: 'boolean', capture: 'object', notice: 'object' },
  log: 'object',
};
const RECIPIENT_SHAPE = {
  role: 'number',
  suite: 'number',
  pk: 'string',
  key_id: 'string',
  identity: 'string',
  label: 'string',
};

function mustFit(value: unknown, shape: Record<string, string>): void {
  must(typeof value === 'object' && value !== null && !Array.isArray(value), 'policy', 'expected an object');
  const object = value as Record<string, unknown>;
  must(Object.keys(object).sort().join() === Object.keys(shape).sort().join(), 'policy', 'other fields than expected');
  for (const [key, type] of Object.entries(shape)) {
    const field = object[key];
    must(typeof field === type || (type.endsWith('?') && (field === null || typeof field === 'string')), 'policy', key);
  }
}

function identityKey(text: string): Buffer {
  try {
    const { prefix, bytes } = parseBech32m(text);
    must(prefix === 'zrid' && bytes.length === 32, 'policy');
    return bytes;
  } catch {
    throw new Refused('policy', 'an identity that does not read');
  }
}

function checkRecipient(recipient: Recipient, minSuite: number): void {
  mustFit(recipient, RECIPIENT_SHAPE);
  must([1, 2, 3].includes(recipient.role), 'policy');
  identityKey(recipient.identity);
  let key: { prefix: string; bytes: Buffer };
  try {
    key = parseBech32m(recipient.pk);
  } catch {
    throw new Refused('policy', 'a key that does not read');
  }
  const suite =
    key.prefix === 'zrbox' && key.bytes.length === 32 ? 1 : key.prefix === 'zrpq' && key.bytes.length === 1216 ? 2 : 0;
  must(suite !== 0 && suite === recipient.suite && suite >= minSuite, 'policy', 'suite');
  const id = h('key-id', Buffer.of(0, suite), key.bytes).subarray(0, 16);
  must(id.toString('base64url') === recipient.key_id, 'policy', 'key id');
}

export interface PolicyPins {
  examId?: string;
  ownerHash?: Uint8Array;
  minSeq?: number;
  at?: number;
}

/** Verifies the envelope and signatures, then reads and checks the body. */
export function readPolicy(record: Buffer, pins: PolicyPins): { policy: Policy; hash: Buffer } {
  must(record.length >= 10, 'length');
  must(record.toString('latin1', 0, 4) === 'ZRPL' && record[4] === 1, 'format');
  const length = record.readUInt32BE(5);
  must(length <= 262_144, 'limit');
  must(record.length > 9 + length, 'length');
  const body = record.subarray(9, 9 + length);
  const count = record[9 + length]!;
  must(count >= 1 && count <= 16, 'limit');
  must(record.length === 10 + length + 96 * count, 'length');
  const hash = h('policy', body);
  const signers: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const at = 10 + length + 96 * i;
    const key = record.subarray(at, at + 32);
    const message = Buffer.concat([Buffer.from('zeroreel/v1/sig/policy\0', 'latin1'), hash]);
    must(signatureHolds(key, message, record.subarray(at + 32, at + 96)), 'policy', 'signature');
    must(!signers.some((signer) => same(signer, key)), 'policy', 'one signer twice');
    signers.push(key);
  }
  const policy = readBody(body);
  const owner = identityKey(policy.owner);
  must(
    signers.some((signer) => same(signer, owner)),
    'policy',
    'owner',
  );
  if (pins.ownerHash) must(same(h('fingerprint', Buffer.of(0, 255), owner), pins.ownerHash), 'policy', 'pinned owner');
  if (pins.examId !== undefined) must(policy.exam_id === pins.examId, 'policy', 'exam');
  if (pins.minSeq !== undefined) must(policy.seq >= pins.minSeq, 'policy', 'seq');
  if (pins.at !== undefined) must(pins.at >= policy.not_before && pins.at < policy.not_after, 'policy', 'window');
  return { policy, hash };
}

function readBody(body: Buffer): Policy {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    throw new Refused('policy', 'UTF-8');
  }
  const value = parseJson(text);
  mustFit(value, SHAPE);
  const policy = value as unknown as Policy;
  must(policy.v === 1 && (policy.seq === 0) === (policy.prev_policy_hash === null), 'policy', 'seq');
  must(policy.retention_days >= 1 && policy.retention_days <= 30, 'policy', 'retention');
  must(Array.isArray(policy.recipients) && Array.isArray(policy.tracks), 'policy', 'lists');
  must(policy.recipients.length >= 1 && policy.recipients.length <= 64, 'policy', 'recipients');
  for (const recipient of policy.recipients) checkRecipient(recipient, policy.min_suite);
  must(
    policy.recipients.some(({ role }) => role === 1),
    'policy',
    'no instructor',
  );
  must(new Set(policy.recipients.map(({ key_id }) => key_id)).size === policy.recipients.length, 'policy', 'twice');
  return policy;
}
