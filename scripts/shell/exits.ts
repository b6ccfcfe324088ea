import { ProtocolError, type ProtocolErrorCode } from '../../crypto/format/errors.ts';
import { ApiError, ClientError, type ClientErrorCode } from '../../src/client/errors.ts';

/**
 * Exit codes of every command. 0 to 3 are answers, and those of `log verify` (an auditor's script switches on them); what
 * kept a command from answering lies above 63, in the range of sysexits(3).
 */
export const EXIT = {
  /** Done, and what was asked about is well. */
  well: 0,
  /** Done, and what was asked about is not well: gaps, no close, overdue deletions, a failed purge. */
  unwell: 1,
  /** Forged, altered, or against the rules: nothing more is to be believed. */
  violation: 2,
  /** Neither proven nor refuted: something that the proof needs is not there. */
  unverifiable: 3,
  /** The command line itself is wrong; nothing was done. */
  usage: 64,
  /** No answer from the server or the bucket. */
  unreachable: 69,
  /** A fault in this program. */
  fault: 70,
  /** A local file cannot be read or written, or the outbox is full, locked or damaged. */
  storage: 74,
  /** The server refused. */
  refused: 77,
  /** A wrong passphrase, a key file that is none, or no key for this recording. */
  key: 78,
  /** Stopped by Ctrl-C. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
export type ExitName = keyof typeof EXIT;

export const EXIT_HELP = `exit codes: 0 well, 1 not well (gaps, overdue), 2 forged or altered, 3 cannot be verified, 64 usage,
            69 unreachable, 70 a fault in this program, 74 files and disk, 77 refused by the server, 78 key or passphrase`;

/** What a command says when it cannot do what it was asked: one line, its exit code, and what a person can do about it. */
export class CommandError extends Error {
  readonly exit: ExitName;
  /** Stable; stands in parentheses after the message. */
  readonly code: string;
  readonly hint: string | undefined;

  constructor(exit: ExitName, code: string, message: string, hint?: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CommandError';
    this.exit = exit;
    this.code = code;
    this.hint = hint;
  }
}

const CLIENT_EXITS = {
  unreachable: 'unreachable',
  answer: 'unreachable',
  storage: 'unreachable',
  'outbox-full': 'storage',
  'outbox-locked': 'storage',
  'outbox-damaged': 'storage',
  'outbox-used': 'storage',
  link: 'usage',
  'public-line': 'usage',
  'not-owner': 'key',
  'not-reader': 'usage',
  track: 'usage',
  quota: 'unwell',
  ended: 'unwell',
  gap: 'unwell',
  'no-key': 'key',
  casefile: 'unverifiable',
} as const satisfies Record<ClientErrorCode, ExitName>;

/** Every other refusal by the protocol means that a record is not what its signer made: a violation. */
const PROTOCOL_EXITS: Partial<Record<ProtocolErrorCode, ExitName>> = {
  passphrase: 'key',
  'kdf-params': 'key',
  unsupported: 'fault',
};

/** Turns whatever was thrown into what is printed; a stack is for faults of this program alone. */
export function explain(error: unknown): CommandError {
  if (error instanceof CommandError) return error;
  if (error instanceof ApiError)
    return new CommandError('refused', error.code, error.detail, error.hint, { cause: error });
  if (error instanceof ClientError) {
    return new CommandError(CLIENT_EXITS[error.code], error.code, error.message, error.hint, { cause: error });
  }
  if (error instanceof ProtocolError) {
    return new CommandError(PROTOCOL_EXITS[error.code] ?? 'violation', error.code, error.message, undefined, {
      cause: error,
    });
  }
  if (isSystemError(error) && (error.code === 'ENOSPC' || error.code === 'EDQUOT')) {
    const hint = 'free space on this disk, and run the same command again';
    return new CommandError('storage', 'disk-full', 'the disk is full; nothing was lost that was stored before', hint);
  }
  if (isSystemError(error)) return new CommandError('storage', error.code.toLowerCase(), systemMessage(error));
  const message = error instanceof Error ? error.message : String(error);
  return new CommandError('fault', 'fault', message, 'this is a fault in zeroreel; ZEROREEL_DEBUG=1 shows where', {
    cause: error,
  });
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException & { code: string } {
  return error instanceof Error && 'syscall' in error && 'code' in error && typeof error.code === 'string';
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'expected a file, found a folder',
  ENOTDIR: 'expected a folder, found a file',
  EEXIST: 'it exists already',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the disk is read-only',
};

function systemMessage(error: NodeJS.ErrnoException & { code: string }): string {
  const reason = REASONS[error.code] ?? error.code;
  return error.path === undefined ? `${error.syscall ?? 'i/o'}: ${reason}` : `${error.path}: ${reason}`;
}
