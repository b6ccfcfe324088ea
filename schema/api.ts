/**
 * The HTTP API, as both sides parse it. Binary records travel as base64url without padding, ids are 22 characters,
 * hashes 43, times are milliseconds since the Unix epoch. Unknown members are refused in requests and dropped in answers.
 */
import { z } from 'zod';

/** 16 bytes; the last character's unused bits are zero, so that one id has one text. */
export const idSchema = z.string().regex(/^[A-Za-z0-9_-]{21}[AQgw]$/, 'expected 16 bytes as base64url');
/** 32 bytes. */
export const hashSchema = z.string().regex(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/, 'expected 32 bytes as base64url');

function recordSchema(maximumBytes: number) {
  return z
    .string()
    .max(Math.ceil((maximumBytes * 4) / 3))
    .regex(/^[A-Za-z0-9_-]+$/, 'expected base64url');
}

const uint = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const u32 = z.number().int().nonnegative().max(0xffffffff);
const u16 = z.number().int().nonnegative().max(0xffff);

/** Uploads that one call may ask for, and how far a track may run ahead of its newest head. */
export const UPLOADS_PER_CALL = 64;
export const UPLOAD_WINDOW = 64;
/** Downloads that one call may ask for. */
export const DOWNLOADS_PER_CALL = 256;

// ---- errors: RFC 9457 ---------------------------------------------------------------------------------------------------
export const problemSchema = z.looseObject({
  type: z.string(),
  title: z.string(),
  status: z.number(),
  /** Stable; what programs switch on. */
  code: z.string(),
  detail: z.string(),
  hint: z.string().optional(),
});
export type Problem = z.infer<typeof problemSchema>;

// ---- the service -----------------------------------------------------------------------------------------------------------
export const serviceSchema = z.object({
  name: z.literal('zeroreel'),
  /** Origin and verifier key of the retention log: what a policy pins. */
  log: z.object({ origin: z.string(), vkey: z.string() }),
  now_ms: uint,
  retention_days: z.object({ maximum: z.number() }),
  /** How long a backup of the vault of shred shares can exist: a deletion is final when it has passed. */
  vault_horizon_hours: z.number(),
  /** Who answers for the data, as the operator configured it: for notices and records of processing. */
  operator: z.object({ controller: z.string().nullable(), privacy_contact: z.string().nullable() }),
  /** Beside key and token: whether staff may sign in with the institution's OpenID provider, at `/v1/oidc/login`. */
  sign_in: z.object({ oidc: z.boolean() }),
});

export const healthSchema = z.object({
  healthy: z.boolean(),
  /** Answers, and takes a write. */
  store: z.boolean(),
  vault: z.boolean(),
  bucket: z.boolean(),
  /** Neither behind what the log says, nor far from the bucket's. */
  clock: z.boolean(),
  /** The key at hand is the one that signed the newest checkpoint. */
  log_key: z.boolean(),
  /** On the disk of the data folder. */
  room: z.boolean(),
});
export const readySchema = healthSchema.omit({ healthy: true }).extend({
  ready: z.boolean(),
  /** `starting` until databases, bucket and log are open and migrated; `restoring` while a backup is being put back here. */
  state: z.enum(['starting', 'serving', 'restoring', 'stopping']),
});
/** OpenAPI 3.1: as far as a reader of any version needs to know it. */
export const openapiResponse = z.looseObject({ openapi: z.string(), paths: z.record(z.string(), z.unknown()) });

// ---- exams -------------------------------------------------------------------------------------------------------------------
export const publishPolicyRequest = z.strictObject({ policy: recordSchema(300 * 1024) });
export const publishPolicyResponse = z.object({ exam_id: idSchema, seq: u32, policy_hash: hashSchema });
export const policySummary = z.object({ exam_id: idSchema, seq: u32, policy_hash: hashSchema, policy: z.string() });
export const policyResponse = policySummary.extend({
  /** ZRKD records that revoke keys of this policy, each signed by the identity that holds the key. */
  revocations: z.array(z.string()),
});
export const examsResponse = z.object({
  exams: z.array(policySummary),
  cursor: z.string().optional(),
});

// ---- open -------------------------------------------------------------------------------------------------------------------
export const openRequest = z.strictObject({
  /** ZROP record, signed. */
  open: recordSchema(70 * 1024),
  /** ZRWR records, in the order of their hashes in OPEN. */
  wraps: z.array(recordSchema(2048)).min(1).max(64),
  /** The shred share, 32 bytes. */
  shred: hashSchema,
  /** SHA-256 of the upload token that the recorder chose: an open that is sent again needs no other answer. */
  token_hash: hashSchema,
  /**
   * For a further epoch, the upload token of the one before: recording ids stand in the public log, so knowing one must not
   * let anybody go on in another's place.
   */
  previous_token: z.string().min(8).max(200).optional(),
  /** SHA-256 of the policy's notice: what the student was shown and acknowledged. */
  notice_hash: hashSchema,
});
export const openResponse = z.object({
  recording_id: idSchema,
  epoch: u32,
  opened_ms: uint,
  delete_by_ms: uint,
  uploads_until_ms: uint,
  /** Log index of `recording.opened`: before it is there, no upload is signed. */
  opened_position: uint,
  /** How large the recording may become and how much of that is left, and for how long it may still record; null: no limit. */
  quota: z.object({ bytes: uint.nullable(), bytes_left: uint.nullable(), seconds_left: uint.nullable() }).optional(),
  /**
   * Where this call came from, as the service saw it; null where it does not know. Told because an exam may ask the recorder to seal it
   * for its readers: the service itself keeps no address and writes none down.
   */
  client_address: z.union([z.ipv4(), z.ipv6()]).nullable(),
});

// ---- upload -----------------------------------------------------------------------------------------------------------------
export const uploadsRequest = z.strictObject({
  epoch: u32,
  chunks: z
    .array(z.strictObject({ track: u16, seq: u32, bytes: uint, sha256: hashSchema }))
    .min(1)
    .max(UPLOADS_PER_CALL),
  /** The newest head, to save a call. */
  head: recordSchema(2048).optional(),
});
export const receiptResponse = z.object({
  /** ZRRC record, signed by the log's key. */
  receipt: z.string(),
  state: z.enum(['open', 'closed']),
});
export const uploadsResponse = z.object({
  uploads: z.array(
    z.discriminatedUnion('state', [
      z.object({
        state: z.literal('signed'),
        track: u16,
        seq: u32,
        url: z.string(),
        headers: z.record(z.string(), z.string()),
        expires_ms: uint,
      }),
      /** A head covers it already. */
      z.object({ state: z.literal('stored'), track: u16, seq: u32 }),
    ]),
  ),
  receipt: receiptResponse.optional(),
  /** How many bytes may still be signed after these, where there is a limit. */
  bytes_left: uint.optional(),
});

// ---- head and close ------------------------------------------------------------------------------------------------------------
export const headRequest = z.strictObject({ head: recordSchema(2048) });
export const statusResponse = z.object({
  state: z.enum(['open', 'closed', 'abandoned', 'purging', 'deleted', 'verified']),
  epoch: u32,
  last_epoch: u32,
  delete_by_ms: uint,
  uploads_until_ms: uint,
  head: z.object({ head_hash: hashSchema, head_seq: u32 }).nullable(),
  tracks: z.array(z.object({ track: u16, count: u32, bytes: uint })),
  /** Signed and not yet covered by a head. */
  pending: z.array(z.object({ track: u16, seq: u32, bytes: uint, sha256: hashSchema })),
});

// ---- review -------------------------------------------------------------------------------------------------------------------
export const recordingSchema = z.object({
  recording_id: idSchema,
  exam_id: idSchema,
  state: statusResponse.shape.state,
  practice: z.boolean(),
  opened_ms: uint,
  delete_by_ms: uint,
  ended_ms: uint.nullable(),
  epochs: u32,
  objects: uint,
  bytes: uint,
  releases: uint,
  /** The limit that it came up against, or that its recorder ended it for. */
  quota_reached: z.enum(['bytes', 'time', 'exam-bytes']).nullable().default(null),
});
export type RecordingSummary = z.infer<typeof recordingSchema>;
export const recordingsResponse = z.object({ recordings: z.array(recordingSchema), cursor: z.string().optional() });

export const releaseRequest = z.strictObject({
  /** Who is going to read: one of the recording's recipients or grantees, 16 bytes. */
  key_id: idSchema,
  purpose: z.enum(['review', 'export', 'grant']),
});
export const releaseResponse = z.object({
  recording: recordingSchema,
  /** Every policy that an epoch or a grant names. */
  policies: z.array(z.object({ policy_hash: hashSchema, policy: z.string() })),
  epochs: z.array(
    z.object({
      epoch: u32,
      open: z.string(),
      opened_position: uint,
      shred: z.string(),
      wraps: z.array(z.object({ key_id: idSchema, wrap: z.string() })),
      grants: z.array(z.object({ to_key_id: idSchema, grant: z.string(), wrap: z.string() })),
      head: z.string().nullable(),
      /** What the bucket's listing holds now: `end` is the highest seq plus one, `missing` the gaps below it. */
      tracks: z.array(z.object({ track: u16, end: u32, bytes: uint, missing: z.array(u32) })),
    }),
  ),
});
export type Release = z.infer<typeof releaseResponse>;

export const downloadsRequest = z.strictObject({
  objects: z
    .array(z.strictObject({ epoch: u32, track: u16, seq: u32 }))
    .min(1)
    .max(DOWNLOADS_PER_CALL),
});
export const downloadsResponse = z.object({
  downloads: z.array(z.object({ epoch: u32, track: u16, seq: u32, url: z.string() })),
  expires_ms: uint,
});

export const grantRequest = z.strictObject({
  /** ZRGR record and the ZRWR record whose hash it holds. */
  grant: recordSchema(1024),
  wrap: recordSchema(2048),
  /** The newer policy in which the reader is a recipient. */
});
/** Most notes that one recording takes. */
export const NOTES_PER_RECORDING = 1000;
/** ZRNT record, sealed under the recording's metadata key: the server cannot read it. */
export const noteRequest = z.strictObject({ note: recordSchema(66 * 1024) });
export const notesResponse = z.object({ notes: z.array(z.object({ created_ms: uint, note: z.string() })) });
export const exportRequest = z.strictObject({ key_id: idSchema, kind: z.enum(['sealed', 'decrypted']) });
export const erasureRequest = z.strictObject({
  reason: z.enum(['student', 'owner', 'operator']),
});
export const erasureResponse = z.object({ recording_id: idSchema, delete_by_ms: uint });
export const positionResponse = z.object({ recorded: z.literal(true) });

// ---- receipts and the log ----------------------------------------------------------------------------------------------------
export const receiptStatusResponse = z.object({
  recording_id: idSchema,
  state: statusResponse.shape.state,
  opened_ms: uint,
  delete_by_ms: uint,
  deleted_ms: uint.nullable(),
  releases: uint,
  /** The log's entries about this recording, each with its exact bytes and a proof against the newest checkpoint (C2SP tlog-proof). */
  entries: z.array(z.object({ index: uint, entry: z.string(), proof: z.string().nullable() })),
  vkey: z.string(),
});

// ---- keys and tokens ------------------------------------------------------------------------------------------------------------
export const enrolKeyRequest = z.strictObject({ document: recordSchema(8192) });
export const keysResponse = z.object({ keys: z.array(z.object({ key_id: idSchema, op: u16, document: z.string() })) });

export const roleSchema = z.enum(['admin', 'instructor', 'compliance']);
const tokenSchema = z.string().regex(/^[A-Za-z0-9._~+/=-]{8,200}$/, 'expected a token');
export const tokenRequest = z
  .strictObject({
    role: roleSchema,
    /** Shown in lists: no control characters, which terminals obey. */
    label: z
      .string()
      .max(100)
      .regex(/^[^\p{Cc}]+$/u, 'expected text without control characters'),
    days: z.number().int().min(1).max(366),
    /** The exams that it is bound to; absent: to none. An administrator's is bound to none. */
    exam_ids: z.array(idSchema).min(1).max(100).optional(),
  })
  .refine(({ role, exam_ids: ids }) => role !== 'admin' || ids === undefined, 'an admin token is bound to no exams');
export const tokenResponse = z.object({
  /** Shown once; the server keeps its hash. */
  token: z.string(),
  prefix: z.string(),
  role: roleSchema,
  exam_ids: z.array(idSchema).nullable(),
  expires_ms: uint,
});
export const tokensResponse = z.object({
  tokens: z.array(
    z.object({
      prefix: z.string(),
      role: roleSchema,
      label: z.string(),
      created_ms: uint,
      expires_ms: uint,
      revoked_ms: uint.nullable(),
      exam_ids: z.array(idSchema).nullable(),
      /** To the hour; null: never. */
      last_used_ms: uint.nullable(),
    }),
  ),
});

const signatureSchema = z.string().regex(/^[A-Za-z0-9_-]{85}[AQgw]$/, 'expected 64 bytes as base64url');

/** That a launch by a learning platform was made in this browser. */
export const launchProof = z.strictObject({
  /** The key that was made for it, 32 bytes. */
  launch_key: hashSchema,
  origin: z.string().min(1).max(300),
  /** Sign(launch, "launch-session", H("session", SHA-256(id_token) || lp16 origin)), 64 bytes. */
  signature: signatureSchema,
});
/** Fields of the form; without an exam, nothing is placed. */
export const selectionForm = launchProof.extend({ exam_id: idSchema.optional() });

// ---- sessions -----------------------------------------------------------------------------------------------------------------
export const challengeResponse = z.object({ challenge: hashSchema, expires_ms: uint });
/** An enrolled identity proves that it holds its key (PROTOCOL.md section 11.1), or a token is shown. */
export const sessionRequest = z.union([
  z.strictObject({
    /** Ed25519 key, 32 bytes. */
    identity: hashSchema,
    challenge: hashSchema,
    /** Where it signs in, e.g. `https://zeroreel.example.edu`: what the browser's address bar says. */
    origin: z.string().min(1).max(300),
    /** Sign(identity, "session", H("session", challenge || lp16 origin)), 64 bytes. */
    signature: signatureSchema,
  }),
  z.strictObject({ token: tokenSchema }),
  launchProof,
]);
/** Who is asking. The session itself is a cookie that no page's code can read. */
export const sessionResponse = z.object({
  role: roleSchema,
  /** Who signed in by an identity may ask about the exams whose newest policy names it; null for a token. */
  identity: hashSchema.nullable(),
  /** The exams that a token is bound to; null: to none. */
  exam_ids: z.array(idSchema).nullable(),
  expires_ms: uint,
});

/** The secret of a setup link: what stands behind `#` in it. */
export const setupRequest = z.strictObject({ secret: tokenSchema });

// ---- learning platforms: LTI 1.3 ------------------------------------------------------------------------------------------------
/** A URL that this service itself fetches from, or sends browsers to: https, or http on this machine. */
export const platformUrl = z
  .url({ protocol: /^https?$/ })
  .max(2000)
  .refine((url) => /^(?:https:|http:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::|\/|$))/.test(url), 'expected https');
const claimText = z
  .string()
  .max(2000)
  .regex(/^[^\p{Cc}]+$/u, 'expected text without control characters');

/** What the platform told the browser (LTI Security Framework 1.0, section 5.1.1.1), and the key that the browser made for this launch. */
export const loginRequest = z.strictObject({
  iss: claimText,
  login_hint: claimText,
  target_link_uri: claimText,
  client_id: claimText.optional(),
  lti_message_hint: z.string().max(10_000).optional(),
  lti_deployment_id: claimText.optional(),
  launch_key: hashSchema,
});
export const loginResponse = z.object({
  /** Where the browser goes now: the platform's authorization endpoint. */
  redirect: z.string(),
  /** Comes back with the launch. */
  state: z.string(),
});

export const platformRequest = z.strictObject({
  label: claimText.max(200),
  issuer: claimText,
  client_id: claimText.max(255),
  auth_url: platformUrl,
  jwks_url: platformUrl,
  /** The deployments that may launch: all that share an issuer and a client id are told apart by these alone. */
  deployments: z.array(claimText.max(255)).min(1).max(100),
});
export const platformSchema = platformRequest.extend({
  id: idSchema,
  /** Empty after a registration by a platform that makes deployments later: until one is added, nobody launches. */
  deployments: z.array(z.string()),
  /** RFC 7638 thumbprints of the keys that it signs with now: what a policy pins. Empty where it does not answer. */
  keys: z.array(hashSchema),
});
export const platformsResponse = z.object({ platforms: z.array(platformSchema) });
export const platformResponse = z.object({ id: idSchema });
/** Opened by the platform's administrator, once: dynamic registration begins there. */
export const invitationResponse = z.object({ url: z.string(), expires_ms: uint });
export const registrationRequest = z.strictObject({
  invitation: tokenSchema,
  openid_configuration: platformUrl,
  registration_token: claimText.max(10_000).optional(),
});
export const registrationResponse = z.object({ id: idSchema, issuer: z.string(), client_id: z.string() });
export const platformKeyResponse = z.object({ kid: z.string() });
/** JWK Set (RFC 7517) of this tool. */
export const jwksSchema = z.object({ keys: z.array(z.record(z.string(), z.unknown())) });

// ---- jobs -------------------------------------------------------------------------------------------------------------------------
export const scrubRequest = z.strictObject({
  /** The signed heads of objects, or whole objects with every segment's hash. */
  depth: z.enum(['heads', 'whole']),
  /** About this many recordings, chosen at random; otherwise all, and what belongs to none. */
  sample: z.int().min(1).max(100_000).optional(),
});
/**
 * One line of NDJSON after every hundred recordings or so, and a last one that is not `running`. `paused`: this call may do no more, and
 * the timetable goes on.
 */
export const scrubLine = z.object({
  state: z.enum(['running', 'finished', 'paused', 'busy', 'failed']),
  recordings: uint,
  objects: uint,
  /** Cases by kind of anomaly that are open in the log now. */
  found: z.record(z.string(), uint),
  failed: z.array(z.object({ recording_id: idSchema, reason: z.string() })),
});

export const purgeResponse = z.object({
  due: uint,
  deleted: uint,
  verified: uint,
  objects: uint,
  /** Recordings that could not be finished this time, with the reason; the next run takes them up again. */
  failed: z.array(z.object({ recording_id: idSchema, reason: z.string() })),
});
