/**
 * The server's own log: one JSON object a line. It is about the machine and never about people: no request's path, body, header or
 * address is handed to it. What an error of a library may carry is taken out on the way.
 */
import { type DestinationStream, type LevelWithSilent, type Logger, pino } from 'pino';

export type { Logger } from 'pino';

/** Told of a failure that is not the client's, and of which request it ended, if it was one. */
export type Report = (error: unknown, request?: string) => void;

/** Members that hold secrets wherever libraries put them: the second line of defence. */
const SECRET_MEMBERS = ['authorization', 'cookie', 'token', 'password', 'secret', 'url', 'headers', 'config', 'params'];

export function openLog(
  level: LevelWithSilent,
  destination: DestinationStream = pino.destination({ fd: 2, sync: true }),
): Logger {
  return pino(
    {
      level,
      // Neither process nor host: whoever collects logs knows where they came from.
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_MEMBERS.flatMap((name) => [name, `*.${name}`]), remove: true },
      serializers: { err: describeError },
    },
    destination,
  );
}

export function reporter(log: Logger): Report {
  return (error, request) => {
    log.error({ err: error, ...(request !== undefined && { request }) }, 'failed');
  };
}

/** How many causes of causes are told. */
const DEEPEST = 4;

interface Described {
  type: string;
  message?: string;
  code?: string;
  stack?: string[];
  cause?: Described;
}

/**
 * Name, message, code and places; of its causes names and codes. What a library's error says may be what a store or a client said, and its
 * other members may hold the request that failed, with its credentials; our own errors say in their message what matters of a cause.
 */
function describeError(error: unknown): Described {
  if (!(error instanceof Error)) return { type: typeof error, message: withoutSecrets(String(error)) };
  const { type, ...more } = describeCause(error, 0);
  return { type, message: withoutSecrets(error.message), stack: placesOf(error), ...more };
}

function describeCause(error: unknown, depth: number): Described {
  if (!(error instanceof Error)) return { type: typeof error };
  const { code } = error as { code?: unknown };
  return {
    type: withoutSecrets(error.name),
    ...(typeof code === 'string' && { code: withoutSecrets(code) }),
    ...(error.cause !== undefined && depth < DEEPEST && { cause: describeCause(error.cause, depth + 1) }),
  };
}

/** Where it was thrown: function, file and line. The stack's first lines repeat the message, and are left out. */
function placesOf({ stack = '' }: Error): string[] {
  const places = stack.split('\n').filter((line) => /^\s+at /.test(line));
  return places.slice(0, 6).map((line) =>
    withoutSecrets(
      line
        .trim()
        .replace(/^at /, '')
        .replace(/\S*\/(?=(?:src|crypto|schema|node_modules)\/)/, ''),
    ),
  );
}

const SECRETS: readonly (readonly [RegExp, string])[] = [
  // A presigned URL's query is a grant.
  [/(\bhttps?:\/\/[^\s?"']+)\?[^\s"']*/g, '$1?…'],
  // Who may enter a database stands before its host.
  [/(\b[a-z]+:\/\/)[^\s/@"']+@/g, '$1…@'],
  [/\b(Bearer|Basic)\s+\S+/gi, '$1 …'],
  // Tokens, keys, hashes and signatures: 32 bytes and more, in base64, base64url or hex.
  [/[A-Za-z0-9_-]{40,}={0,2}/g, '…'],
  [/[A-Za-z0-9+/]{40,}={0,2}/g, '…'],
];

/** The text with everything that looks like a credential taken out. */
export function withoutSecrets(text: string): string {
  return SECRETS.reduce((clean, [pattern, instead]) => clean.replace(pattern, instead), text);
}
