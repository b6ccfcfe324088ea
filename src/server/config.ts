/** Settings from the environment, parsed once at the start. README.md says of each who is trusted with it. */
import { z } from 'zod';
import { ProtocolError } from '../../crypto/format/errors.ts';
import type { Quotas } from './core/quota.ts';
import { parseVkey, type VerifierKey } from '../../crypto/log/note.ts';

const port = z
  .string()
  .regex(/^\d{1,5}$/, 'expected a port from 0 to 65535')
  .transform(Number)
  .refine((value) => value <= 65_535, 'expected a port from 0 to 65535');
const origin = z.url({ protocol: /^https?$/ });

const LOG_LEVELS = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
const LOOPBACK = /^(?:127\.\d+\.\d+\.\d+|::1|localhost)$/;

const postgresUrl = z.url({ protocol: /^postgres(?:ql)?$/, error: 'expected postgres://USER@HOST/DATABASE' });

const environmentSchema = z
  .object({
    /** Folder of the databases, the log's key and, unless a store is named, the embedded bucket. */
    ZEROREEL_DATA: z.string().min(1).default('data'),
    ZEROREEL_HOST: z.string().min(1).default('127.0.0.1'),
    ZEROREEL_PORT: port.default(8600),
    /** Origin under which people reach the service: what signing in by identity is bound to. */
    ZEROREEL_PUBLIC_URL: origin
      .refine((url) => URL.canParse(url) && new URL(url).origin === url, 'expected an origin without a path')
      .optional(),
    /** `off` where something in front of the server limits calls. */
    ZEROREEL_RATE_LIMITS: z.enum(['on', 'off']).default('on'),
    /** Header in which the proxy in front writes its client's address, as the last of several; without one a proxy's address is nobody's. */
    ZEROREEL_CLIENT_ADDRESS_HEADER: z
      .string()
      .regex(/^[A-Za-z0-9-]{1,64}$/)
      .optional(),
    /** For scripts: the first administrator's token is in this file, made if it is not there; and there is no setup link. */
    ZEROREEL_ADMIN_TOKEN_FILE: z.string().min(1).optional(),
    /** OpenID provider by which staff may sign in; what of its claims makes a role: `CLAIM:VALUE=ROLE`, commas between. */
    ZEROREEL_OIDC_ISSUER: z
      .url({ protocol: /^https?$/ })
      .refine((url) => /^(?:https:|http:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::|\/|$))/.test(url), 'expected https')
      .optional(),
    ZEROREEL_OIDC_CLIENT_ID: z.string().min(1).optional(),
    ZEROREEL_OIDC_CLIENT_SECRET: z.string().min(1).optional(),
    ZEROREEL_OIDC_ROLES: z.string().min(1).optional(),
    ZEROREEL_OIDC_SCOPE: z
      .string()
      .regex(/^openid(?: [\x21-\x7e]+)*$/, 'expected openid, and other scopes after it')
      .default('openid'),
    /** Name of the retention log: a schema-less URL that will never mean another log. */
    ZEROREEL_LOG_ORIGIN: z
      .string()
      .min(1)
      .max(200)
      .regex(/^[^\s+]+$/u)
      .default('localhost/zeroreel'),
    /** Port of the embedded bucket. */
    ZEROREEL_BUCKET_PORT: port.default(8601),
    /** An S3-compatible store in place of the embedded bucket. */
    ZEROREEL_S3_ENDPOINT: origin.optional(),
    /** Origin under which recorders and reviewers reach the store, the embedded one too, where it is another one. */
    ZEROREEL_S3_PUBLIC_ENDPOINT: origin.optional(),
    ZEROREEL_S3_REGION: z.string().min(1).default('us-east-1'),
    ZEROREEL_S3_BUCKET: z.string().min(3).max(63).default('zeroreel'),
    ZEROREEL_S3_ACCESS_KEY_ID: z.string().min(1).optional(),
    ZEROREEL_S3_SECRET_ACCESS_KEY: z.string().min(1).optional(),
    ZEROREEL_S3_PATH_STYLE: z.enum(['true', 'false']).default('true'),
    /** Witnesses of the log: pairs of submission prefix and verifier key (C2SP vkey of type 4), commas between the pairs. */
    ZEROREEL_WITNESSES: z.string().optional(),
    /** PostgreSQL in place of the SQLite files; the vault's is another cluster. */
    /** While objects are moved: where they are moved from, `embedded` or an origin. Everything else about it as above. */
    ZEROREEL_FORMER_S3_ENDPOINT: z.union([z.literal('embedded'), origin]).optional(),
    ZEROREEL_FORMER_S3_PUBLIC_ENDPOINT: origin.optional(),
    ZEROREEL_FORMER_S3_REGION: z.string().min(1).default('us-east-1'),
    ZEROREEL_FORMER_S3_BUCKET: z.string().min(3).max(63).default('zeroreel'),
    ZEROREEL_FORMER_S3_ACCESS_KEY_ID: z.string().min(1).optional(),
    ZEROREEL_FORMER_S3_SECRET_ACCESS_KEY: z.string().min(1).optional(),
    ZEROREEL_FORMER_S3_PATH_STYLE: z.enum(['true', 'false']).default('true'),
    ZEROREEL_DATABASE_URL: postgresUrl.optional(),
    ZEROREEL_VAULT_URL: postgresUrl.optional(),
    /** How long a backup of the vault can exist. A deletion is final when it has passed. */
    ZEROREEL_VAULT_HORIZON_HOURS: z.coerce.number().min(0).max(48).default(24),
    /** How large and how long one recording may become, and how large all of one exam. A policy may say less. */
    ZEROREEL_QUOTA_RECORDING_GB: z.coerce.number().min(0.001).max(100_000).default(100),
    ZEROREEL_QUOTA_RECORDING_HOURS: z.coerce.number().min(0.1).max(24).default(24),
    ZEROREEL_QUOTA_EXAM_GB: z.coerce.number().min(0.001).max(10_000_000).optional(),
    ZEROREEL_QUOTA_TRACKS: z.coerce.number().int().min(1).max(16).default(16),
    /** Least level of the lines that the server's log has; `debug` has a line for each answer. */
    ZEROREEL_LOG_LEVEL: z.enum(LOG_LEVELS).default('info'),
    /** Where `GET /metrics` answers: a port of its own, the API's port for whoever shows this token, or both. */
    ZEROREEL_METRICS_PORT: port.optional(),
    ZEROREEL_METRICS_HOST: z.string().min(1).default('127.0.0.1'),
    ZEROREEL_METRICS_TOKEN: z
      .string()
      .regex(/^[A-Za-z0-9._~+/=-]{16,200}$/, 'expected 16 to 200 letters, digits and ._~+/=-')
      .optional(),
    /** OpenTelemetry's own names: the collector's origin or the whole URL of its traces, and the share of requests that is traced. */
    OTEL_EXPORTER_OTLP_ENDPOINT: z.url({ protocol: /^https?$/ }).optional(),
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: z.url({ protocol: /^https?$/ }).optional(),
    OTEL_TRACES_SAMPLER_ARG: z.coerce.number().min(0).max(1).default(0.05),
    /** Who answers for the data, and how to reach their data protection officer: shown on the compliance page. */
    ZEROREEL_CONTROLLER: z.string().max(500).optional(),
    ZEROREEL_PRIVACY_CONTACT: z.string().max(500).optional(),
  })
  .refine(
    (env) =>
      env.ZEROREEL_S3_ENDPOINT === undefined ||
      (env.ZEROREEL_S3_ACCESS_KEY_ID !== undefined && env.ZEROREEL_S3_SECRET_ACCESS_KEY !== undefined),
    { message: 'ZEROREEL_S3_ENDPOINT needs ZEROREEL_S3_ACCESS_KEY_ID and ZEROREEL_S3_SECRET_ACCESS_KEY' },
  )
  .refine(
    (env) =>
      env.ZEROREEL_METRICS_PORT === undefined ||
      env.ZEROREEL_METRICS_TOKEN !== undefined ||
      LOOPBACK.test(env.ZEROREEL_METRICS_HOST),
    {
      message:
        'ZEROREEL_METRICS_HOST: metrics are for this machine alone, unless ZEROREEL_METRICS_TOKEN says who may ask',
    },
  )
  .refine(
    (env) =>
      [undefined, 'embedded'].includes(env.ZEROREEL_FORMER_S3_ENDPOINT) ||
      (env.ZEROREEL_FORMER_S3_ACCESS_KEY_ID !== undefined && env.ZEROREEL_FORMER_S3_SECRET_ACCESS_KEY !== undefined),
    {
      message:
        'ZEROREEL_FORMER_S3_ENDPOINT needs ZEROREEL_FORMER_S3_ACCESS_KEY_ID and ZEROREEL_FORMER_S3_SECRET_ACCESS_KEY',
    },
  )
  .refine(
    (env) =>
      env.ZEROREEL_OIDC_ISSUER === undefined ||
      (env.ZEROREEL_OIDC_CLIENT_ID !== undefined && env.ZEROREEL_OIDC_ROLES !== undefined),
    { message: 'ZEROREEL_OIDC_ISSUER needs ZEROREEL_OIDC_CLIENT_ID and ZEROREEL_OIDC_ROLES' },
  )
  // Shares in a file of one node are lost for the others.
  .refine((env) => (env.ZEROREEL_DATABASE_URL === undefined) === (env.ZEROREEL_VAULT_URL === undefined), {
    message: 'ZEROREEL_DATABASE_URL and ZEROREEL_VAULT_URL go together',
  });

export interface Config {
  dataDir: string;
  host: string;
  port: number;
  publicUrl?: string;
  adminTokenFile?: string;
  /** Absent: nothing is limited. */
  rateLimits?: 'on';
  /** In lower case; absent: a client's address is that of its socket. */
  clientAddressHeader?: string;
  /** Absent: staff sign in by key or token only. */
  oidc?: OidcSettings;
  logOrigin: string;
  vaultHorizonMs: number;
  witnesses: readonly Witness[];
  operator: { controller: string | null; privacyContact: string | null };
  /** Absent: only what policies say. */
  quotas?: Quotas;
  /** Default: `warn`; what the environment leaves out is `info`. */
  logLevel?: (typeof LOG_LEVELS)[number];
  /** Absent: nothing is counted. */
  metrics?: { token?: string; listen?: { host: string; port: number } };
  /** Absent: nothing is traced. `ratio`: the share of requests that is. */
  traces?: { url: string; ratio: number };
  bucket: string;
  region: string;
  storage: EmbeddedStorage | ExternalStorage;
  /** Where objects are being moved from: read while they are, deleted from, and nothing new goes there. */
  former?: StoragePlace;
  /** Two PostgreSQL clusters; absent: two SQLite files in `dataDir`. The URLs hold passwords. */
  database?: { url: string; vaultUrl: string };
}

/** An OpenID provider of the institution, and what of its claims makes a role here. */
export interface OidcSettings {
  issuer: string;
  clientId: string;
  /** Absent: a public client. */
  clientSecret: string | undefined;
  scope: string;
  roles: readonly { claim: string; value: string; role: 'admin' | 'instructor' | 'compliance' }[];
}

/** Somebody else who watches that the log only grows. */
export interface Witness {
  /** Submission prefix, without a slash at its end. */
  url: string;
  key: VerifierKey;
}

/** One bucket, wherever it is. */
export type StoragePlace = Pick<Config, 'bucket' | 'region' | 'storage'>;

export interface EmbeddedStorage {
  kind: 'embedded';
  port: number;
  publicEndpoint?: string;
}

export interface ExternalStorage {
  kind: 's3';
  endpoint: string;
  publicEndpoint?: string;
  credentials: { accessKeyId: string; secretAccessKey: string };
  pathStyle: boolean;
}

/** Settings that are secrets: each may be given as `NAME_FILE`, the file that it is in (`withSecretFiles` in adapters/keyring.ts). */
export const SECRET_SETTINGS = [
  'ZEROREEL_S3_ACCESS_KEY_ID',
  'ZEROREEL_S3_SECRET_ACCESS_KEY',
  'ZEROREEL_METRICS_TOKEN',
  'ZEROREEL_OIDC_CLIENT_SECRET',
  'ZEROREEL_FORMER_S3_ACCESS_KEY_ID',
  'ZEROREEL_FORMER_S3_SECRET_ACCESS_KEY',
] as const;

export class ConfigError extends Error {}

/** Throws `ConfigError`, which names the setting and never its value. */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  // An empty setting is one that was not made: so compose files and unit files can leave it blank.
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const parsed = environmentSchema.safeParse(given);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new ConfigError(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`.replace(/^: /, ''));
  }
  const env = parsed.data;
  const publicEndpoint = env.ZEROREEL_S3_PUBLIC_ENDPOINT;
  const seen = publicEndpoint === undefined ? {} : { publicEndpoint: new URL(publicEndpoint).origin };
  return {
    dataDir: env.ZEROREEL_DATA,
    host: env.ZEROREEL_HOST,
    port: env.ZEROREEL_PORT,
    ...(env.ZEROREEL_PUBLIC_URL !== undefined && { publicUrl: env.ZEROREEL_PUBLIC_URL }),
    ...(env.ZEROREEL_ADMIN_TOKEN_FILE !== undefined && { adminTokenFile: env.ZEROREEL_ADMIN_TOKEN_FILE }),
    ...(env.ZEROREEL_RATE_LIMITS === 'on' && { rateLimits: 'on' }),
    ...(env.ZEROREEL_CLIENT_ADDRESS_HEADER !== undefined && {
      clientAddressHeader: env.ZEROREEL_CLIENT_ADDRESS_HEADER.toLowerCase(),
    }),
    ...(env.ZEROREEL_OIDC_ISSUER !== undefined && {
      oidc: {
        issuer: env.ZEROREEL_OIDC_ISSUER,
        clientId: env.ZEROREEL_OIDC_CLIENT_ID!,
        clientSecret: env.ZEROREEL_OIDC_CLIENT_SECRET,
        scope: env.ZEROREEL_OIDC_SCOPE,
        roles: readRoles(env.ZEROREEL_OIDC_ROLES!),
      },
    }),
    logOrigin: env.ZEROREEL_LOG_ORIGIN,
    vaultHorizonMs: env.ZEROREEL_VAULT_HORIZON_HOURS * 3_600_000,
    witnesses: readWitnesses(env.ZEROREEL_WITNESSES ?? ''),
    operator: {
      controller: env.ZEROREEL_CONTROLLER ?? null,
      privacyContact: env.ZEROREEL_PRIVACY_CONTACT ?? null,
    },
    quotas: {
      recordingBytes: Math.round(env.ZEROREEL_QUOTA_RECORDING_GB * 1e9),
      recordingMs: Math.round(env.ZEROREEL_QUOTA_RECORDING_HOURS * 3_600_000),
      examBytes: env.ZEROREEL_QUOTA_EXAM_GB === undefined ? null : Math.round(env.ZEROREEL_QUOTA_EXAM_GB * 1e9),
      tracks: env.ZEROREEL_QUOTA_TRACKS,
    },
    logLevel: env.ZEROREEL_LOG_LEVEL,
    ...metricsOf(env),
    ...tracesOf(env),
    bucket: env.ZEROREEL_S3_BUCKET,
    region: env.ZEROREEL_S3_REGION,
    ...(env.ZEROREEL_DATABASE_URL !== undefined && {
      database: { url: env.ZEROREEL_DATABASE_URL, vaultUrl: env.ZEROREEL_VAULT_URL! },
    }),
    storage:
      env.ZEROREEL_S3_ENDPOINT === undefined
        ? { kind: 'embedded', port: env.ZEROREEL_BUCKET_PORT, ...seen }
        : {
            kind: 's3',
            endpoint: env.ZEROREEL_S3_ENDPOINT,
            ...seen,
            credentials: {
              accessKeyId: env.ZEROREEL_S3_ACCESS_KEY_ID!,
              secretAccessKey: env.ZEROREEL_S3_SECRET_ACCESS_KEY!,
            },
            pathStyle: env.ZEROREEL_S3_PATH_STYLE === 'true',
          },
    ...formerOf(env),
  };
}

function metricsOf(env: z.infer<typeof environmentSchema>): Pick<Config, 'metrics'> {
  const { ZEROREEL_METRICS_PORT: port, ZEROREEL_METRICS_HOST: host, ZEROREEL_METRICS_TOKEN: token } = env;
  if (port === undefined && token === undefined) return {};
  return { metrics: { ...(token !== undefined && { token }), ...(port !== undefined && { listen: { host, port } }) } };
}

/** The base URL gets the path that OTLP over HTTP says; the other setting is the whole URL (OpenTelemetry Protocol Exporter). */
function tracesOf(env: z.infer<typeof environmentSchema>): Pick<Config, 'traces'> {
  const base = env.OTEL_EXPORTER_OTLP_ENDPOINT;
  const url = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? (base && `${base.replace(/\/+$/, '')}/v1/traces`);
  return url === undefined ? {} : { traces: { url, ratio: env.OTEL_TRACES_SAMPLER_ARG } };
}

function formerOf(env: z.infer<typeof environmentSchema>): Pick<Config, 'former'> {
  const endpoint = env.ZEROREEL_FORMER_S3_ENDPOINT;
  if (endpoint === undefined) return {};
  const [bucket, region] = [env.ZEROREEL_FORMER_S3_BUCKET, env.ZEROREEL_FORMER_S3_REGION];
  if (endpoint === (env.ZEROREEL_S3_ENDPOINT ?? 'embedded') && bucket === env.ZEROREEL_S3_BUCKET) {
    throw new ConfigError('ZEROREEL_FORMER_S3_BUCKET: expected another bucket than ZEROREEL_S3_BUCKET');
  }
  const publicEndpoint = env.ZEROREEL_FORMER_S3_PUBLIC_ENDPOINT;
  const seen = publicEndpoint === undefined ? {} : { publicEndpoint: new URL(publicEndpoint).origin };
  if (endpoint === 'embedded') {
    return { former: { bucket, region, storage: { kind: 'embedded', port: env.ZEROREEL_BUCKET_PORT, ...seen } } };
  }
  const credentials = {
    accessKeyId: env.ZEROREEL_FORMER_S3_ACCESS_KEY_ID!,
    secretAccessKey: env.ZEROREEL_FORMER_S3_SECRET_ACCESS_KEY!,
  };
  const pathStyle = env.ZEROREEL_FORMER_S3_PATH_STYLE === 'true';
  return { former: { bucket, region, storage: { kind: 's3', endpoint, ...seen, credentials, pathStyle } } };
}

function readRoles(text: string): OidcSettings['roles'] {
  return text.split(',').map((rule) => {
    const [, claim, value, role] = /^\s*([^:=,]+):(.+)=(admin|instructor|compliance)\s*$/.exec(rule) ?? [];
    if (claim === undefined || value === undefined) {
      throw new ConfigError('ZEROREEL_OIDC_ROLES: expected CLAIM:VALUE=admin|instructor|compliance, commas between');
    }
    return { claim, value, role: role as OidcSettings['roles'][number]['role'] };
  });
}

function readWitnesses(text: string): Witness[] {
  const pairs = text
    .split(',')
    .map((pair) => pair.trim())
    .filter((pair) => pair !== '');
  return pairs.map((pair) => {
    const [url = '', vkey = '', ...rest] = pair.split(/\s+/);
    if (!/^https?:\/\/./.test(url) || !URL.canParse(url) || rest.length > 0)
      throw new ConfigError('ZEROREEL_WITNESSES: expected URL VKEY, commas between the pairs');
    return { url: url.replace(/\/+$/, ''), key: readWitnessKey(vkey) };
  });
}

function readWitnessKey(vkey: string): VerifierKey {
  try {
    const key = parseVkey(vkey);
    if (key.type === 4) return key;
    throw new ConfigError(`ZEROREEL_WITNESSES: expected a key of type 4 for cosignatures, found ${key.type}`);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new ConfigError(`ZEROREEL_WITNESSES: ${error.message}`);
  }
}

/** Settings whose value is a secret, or has one in it. */
const SECRET = /^ZEROREEL_(?:.*(?:PASSPHRASE|TOKEN|TICKET|SECRET(?:_ACCESS_KEY)?)|DATABASE_URL|VAULT_URL)$/;

/**
 * A copy of the process's environment, whose secrets are then taken out of the environment itself: Node's diagnostic reports write it
 * down, and children inherit it.
 */
export function takeEnvironment(environment: NodeJS.ProcessEnv): Readonly<NodeJS.ProcessEnv> {
  const taken = { ...environment };
  for (const name of Object.keys(environment)) if (SECRET.test(name)) Reflect.deleteProperty(environment, name);
  return taken;
}
