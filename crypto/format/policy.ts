/** The exam policy: who may read, signed by the owner and pinned in the exam link (PROTOCOL.md section 5). */
import { z } from 'zod';
import { concat, equal, fromBase64Url, Reader, toBase64Url, utf8, Writer, type Bytes } from './bytes.ts';
import { verify, type Signer } from './ed25519.ts';
import { ProtocolError } from './errors.ts';
import { hash } from './hash.ts';
import {
  decodeEncryptionKey,
  decodeIdentity,
  fingerprintHash,
  IDENTITY_SUITE,
  keyId,
  parseId,
  SUITE_BOX,
  SUITE_HYBRID,
} from './ids.ts';
import { parseStrictJson } from './json.ts';
import { TRACK_KINDS, type TrackKind } from './open.ts';
import { ROLE_ADMINISTRATOR, ROLE_INSTRUCTOR, ROLE_RECOVERY } from './wrap.ts';

export const MAX_POLICY_BODY = 256 * 1024;
const MAX_SIGNERS = 16;
const MAX_RECIPIENTS = 64;

const readsAs = (read: (text: string) => unknown) => (text: string) => {
  try {
    read(text);
    return true;
  } catch {
    return false;
  }
};
const idText = z.string().refine(readsAs(parseId), 'expected an id of 22 characters');
const hashText = z.string().refine((text) => readsAs(fromBase64Url)(text) && text.length === 43, 'expected a hash');
const identityText = z.string().refine(readsAs(decodeIdentity), 'expected zrid1...');
const suite = z.union([z.literal(SUITE_BOX), z.literal(SUITE_HYBRID)]);
const milliseconds = z.int().min(0);
const kind = z.int().refine((value): value is TrackKind => value in TRACK_KINDS, 'expected a track kind');

const recipientSchema = z.strictObject({
  role: z.union([z.literal(ROLE_INSTRUCTOR), z.literal(ROLE_ADMINISTRATOR), z.literal(ROLE_RECOVERY)]),
  suite,
  /** bech32m; its prefix must be the suite's. */
  pk: z.string().refine(readsAs(decodeEncryptionKey), 'expected zrbox1... or zrpq1...'),
  /** base64url of the 16 bytes that the key hashes to; recomputed by every reader. */
  key_id: idText,
  identity: identityText,
  label: z.string().min(1).max(200),
});

/** A tenant of a learning platform (LTI 1.3), and the keys whose signatures readers believe. */
const platformSchema = z.strictObject({
  issuer: z.string().min(1).max(500),
  client_id: z.string().min(1).max(500),
  deployment_id: z.string().min(1).max(500),
  /** RFC 7638 thumbprints (SHA-256, base64url) of the platform's keys. */
  keys: z.array(hashText).max(16),
});

export const policySchema = z
  .strictObject({
    v: z.literal(1),
    exam_id: idText,
    title: z.string().min(1).max(500),
    seq: z.int().min(0),
    /** policy_hash of seq - 1, base64url; null in the first. */
    prev_policy_hash: hashText.nullable(),
    owner: identityText,
    not_before: milliseconds,
    not_after: milliseconds,
    /** Who may open a recording: the holder of a seat ticket; besides, whom the platform launches; or anybody who has the link. */
    admission: z.enum(['ticket', 'launch', 'link']),
    /** Whose launches; exactly with admission `launch`. */
    platform: platformSchema.optional(),
    min_suite: suite,
    tracks: z
      .array(z.strictObject({ id: z.int().min(0).max(0xffff), kind, required: z.boolean() }))
      .min(1)
      .max(16),
    recipients: z.array(recipientSchema).min(1).max(MAX_RECIPIENTS),
    retention_days: z.int().min(1).max(30),
    practice: z.boolean(),
    /** Rules for the recorder, such as `chunk_seconds`; a recorder refuses what it does not know. */
    capture: z.record(z.string().max(64), z.union([z.boolean(), z.number(), z.string().max(500)])),
    /** What the student reads before recording. */
    notice: z.strictObject({ text: z.string().max(32_768), contact: z.string().max(500) }),
    /** The retention log that receipts and proofs come from: C2SP origin and vkey. */
    log: z.strictObject({ origin: z.string().min(1).max(200), vkey: z.string().min(1).max(500) }),
  })
  .refine(({ not_before, not_after }) => not_before < not_after, 'not_before must be before not_after')
  .refine(({ seq, prev_policy_hash }) => (seq === 0) === (prev_policy_hash === null), 'only seq 0 has no predecessor')
  .refine(
    ({ admission, platform }) => (admission === 'launch') === (platform !== undefined),
    'launches name a platform',
  )
  .refine(({ tracks }) => new Set(tracks.map(({ id }) => id)).size === tracks.length, 'track ids must be unique')
  .refine(({ recipients }) => recipients.some(({ role }) => role === ROLE_INSTRUCTOR), 'expected an instructor')
  .refine(
    ({ recipients, min_suite }) => recipients.every((recipient) => recipient.suite >= min_suite),
    'a recipient is below min_suite',
  )
  .refine(
    ({ recipients }) => new Set(recipients.map(({ key_id }) => key_id)).size === recipients.length,
    'recipients must be unique',
  );

export type Policy = z.infer<typeof policySchema>;
export type PolicyPlatform = NonNullable<Policy['platform']>;
export type PolicyRecipient = Policy['recipients'][number];

export interface ParsedPolicy {
  policy: Policy;
  /** H("policy", body), 32 bytes. */
  policyHash: Bytes;
  /** The signed JSON, byte for byte. */
  body: Bytes;
  /** Identity keys whose signatures hold: the owner's is among them. */
  signers: Bytes[];
}

export interface PolicyExpectation {
  examId?: string;
  /** From the exam link, 32 bytes. */
  ownerHash?: Uint8Array;
  minSeq?: number;
  /** When set, the policy must be inside its validity. */
  nowMs?: number;
}

/** What the exam link pins: all 32 bytes of the hash whose beginning is the owner's fingerprint. */
export async function ownerHash(identityKey: Uint8Array): Promise<Bytes> {
  return fingerprintHash(IDENTITY_SUITE, identityKey);
}

/** policy_hash = H("policy", body). */
export async function policyHash(body: Uint8Array): Promise<Bytes> {
  return hash('policy', body);
}

/** H("notice", u32 length of text || text || contact): what the student acknowledges, and what the log says was shown. */
export async function noticeHash({ notice }: Pick<Policy, 'notice'>): Promise<Bytes> {
  const text = utf8(notice.text);
  return hash('notice', new Writer().u32(text.length).bytes(text).bytes(utf8(notice.contact)).finish());
}

/** One entry of `recipients`, its suite and key id computed from the key's text. */
export async function policyRecipient(
  fields: Pick<PolicyRecipient, 'role' | 'pk' | 'identity' | 'label'>,
): Promise<PolicyRecipient> {
  const key = decodeEncryptionKey(fields.pk);
  return { ...fields, suite: key.suite, key_id: toBase64Url(await keyId(key.suite, key.publicKey)) };
}

/** Encodes and signs a policy; the owner is among the signers. Throws `policy` for one that no reader would accept. */
export async function encodePolicy(policy: Policy, signers: readonly Signer[]): Promise<Bytes> {
  const record = await signPolicyBody(utf8(JSON.stringify(policy)), signers);
  await parsePolicy(record);
  return record;
}

/** Signs a body as it stands. */
export async function signPolicyBody(body: Uint8Array, signers: readonly Signer[]): Promise<Bytes> {
  const digest = await policyHash(body);
  const head = new Writer().bytes(utf8('ZRPL')).u8(1).u32(body.length).bytes(body).u8(signers.length).finish();
  const signatures: Bytes[] = [];
  for (const signer of signers) signatures.push(signer.publicKey, await signer.sign('policy', digest));
  return concat(head, ...signatures);
}

function parseEnvelope(bytes: Uint8Array): { body: Bytes; signatures: { publicKey: Bytes; signature: Bytes }[] } {
  const reader = new Reader(bytes);
  reader.magic('ZRPL');
  const length = reader.u32();
  if (length > MAX_POLICY_BODY) {
    throw new ProtocolError('limit', `expected a policy of at most ${MAX_POLICY_BODY} bytes, found ${length}`);
  }
  const body = reader.bytes(length);
  const count = reader.u8();
  if (count < 1 || count > MAX_SIGNERS) throw new ProtocolError('limit', `expected 1 to 16 signers, found ${count}`);
  const signatures = Array.from({ length: count }, () => ({
    publicKey: reader.bytes(32),
    signature: reader.bytes(64),
  }));
  reader.end();
  return { body, signatures };
}

/**
 * Verifies and reads a policy: envelope (`format`, `length`, `limit`), then every signature and the pinned owner, and only
 * then the JSON; all of that is `policy` when it fails. With `expected`, also exam, seq and validity.
 */
export async function parsePolicy(bytes: Uint8Array, expected: PolicyExpectation = {}): Promise<ParsedPolicy> {
  const { body, signatures } = parseEnvelope(bytes);
  const digest = await policyHash(body);
  const signers: Bytes[] = [];
  for (const { publicKey, signature } of signatures) {
    if (!(await verify(publicKey, 'policy', digest, signature))) refuse('a signature does not verify');
    if (signers.some((signer) => equal(signer, publicKey))) refuse('signed twice by one key');
    signers.push(publicKey);
  }
  if (expected.ownerHash && !(await includesOwner(signers, expected.ownerHash)))
    refuse('not signed by the pinned owner');
  const policy = readBody(body);
  const owner = decodeIdentity(policy.owner);
  if (!signers.some((signer) => equal(signer, owner))) refuse('not signed by its owner');
  if (expected.ownerHash && !equal(await ownerHash(owner), expected.ownerHash)) refuse('names another owner');
  await checkRecipients(policy);
  checkExpectation(policy, expected);
  return { policy, policyHash: digest, body, signers };
}

/** Who reads under a policy that `parsePolicy` accepted before it was stored; nothing is verified again. */
export function storedRecipients(bytes: Uint8Array): PolicyRecipient[] {
  return readBody(parseEnvelope(bytes).body).recipients;
}

function refuse(reason: string): never {
  throw new ProtocolError('policy', `policy refused: ${reason}`);
}

async function includesOwner(signers: readonly Bytes[], pinned: Uint8Array): Promise<boolean> {
  for (const signer of signers) if (equal(await ownerHash(signer), pinned)) return true;
  return false;
}

function readBody(body: Bytes): Policy {
  let value: unknown;
  try {
    value = parseStrictJson(body);
  } catch (error) {
    if (error instanceof ProtocolError) refuse(error.message);
    throw error;
  }
  const result = policySchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  return refuse(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`);
}

async function checkRecipients({ recipients }: Policy): Promise<void> {
  for (const recipient of recipients) {
    const key = decodeEncryptionKey(recipient.pk);
    if (key.suite !== recipient.suite) refuse('a recipient key of another suite than stated');
    const recomputed = toBase64Url(await keyId(key.suite, key.publicKey));
    if (recomputed !== recipient.key_id) refuse('a recipient key id that is not its key');
  }
}

function checkExpectation(policy: Policy, { examId, minSeq, nowMs }: PolicyExpectation): void {
  if (examId !== undefined && policy.exam_id !== examId) refuse('of another exam');
  if (minSeq !== undefined && policy.seq < minSeq) refuse(`expected seq ${minSeq} or later, found ${policy.seq}`);
  if (nowMs === undefined) return;
  if (nowMs < policy.not_before) refuse('not valid yet');
  if (nowMs >= policy.not_after) refuse('no longer valid');
}
