/** Which server is asked, about which exam, and as whom. */
import { readFile } from 'node:fs/promises';
import { Api } from '../../src/client/api.ts';
import { ClientError } from '../../src/client/errors.ts';
import { parseExamLink, type ExamLink } from '../../src/client/link.ts';
import { usageError } from './arguments.ts';
import { CommandError } from './exits.ts';
import { bearerToken } from './secrets.ts';
import type { Shell } from './shell.ts';

export const DEFAULT_SERVER = 'http://127.0.0.1:8600';

export interface ServerFlags {
  server?: string | undefined;
  'token-file'?: string | undefined;
}

/** --server, else the exam link's own server, else ZEROREEL_SERVER, else this machine. */
export async function connect(shell: Shell, flags: ServerFlags, link?: ExamLink): Promise<Api> {
  const url = flags.server ?? link?.url ?? shell.environment['ZEROREEL_SERVER'] ?? DEFAULT_SERVER;
  if (!/^https?:\/\//.test(url) || !URL.canParse(url))
    throw usageError('--server: expected a URL like https://zeroreel.example.edu');
  return new Api({ url, token: await bearerToken(shell, flags['token-file']) });
}

/** An exam link without a ticket: itself, or the first line of a file. */
export async function readExamLink(shell: Shell, textOrPath: string | undefined): Promise<ExamLink> {
  const given = textOrPath ?? shell.environment['ZEROREEL_EXAM'];
  if (given === undefined)
    throw usageError('expected --exam LINK', 'the link is what `zeroreel exam create` printed, or a file of it');
  const isText = /^https?:/.test(given);
  const link = parseExamLink(isText ? given : firstLine(await readFile(given, 'utf8')));
  if (isText && link.ticket)
    throw new CommandError(
      'usage',
      'secret-argument',
      'this link holds a seat ticket, which is a secret',
      'write it to a file and give the file: every process may read arguments',
    );
  return link;
}

/** A seat's link with its ticket, from a file or ZEROREEL_TICKET; never from an argument. */
export async function readTicketLink(shell: Shell, path: string | undefined): Promise<ExamLink> {
  const text = path === undefined ? shell.environment['ZEROREEL_TICKET'] : firstLine(await readFile(path, 'utf8'));
  if (text === undefined)
    throw usageError('expected --ticket FILE', '`zeroreel exam tickets` makes them; ZEROREEL_TICKET may hold one too');
  try {
    return parseExamLink(text);
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    throw new CommandError('usage', 'link', `${path ?? 'ZEROREEL_TICKET'}: ${error.message}`, error.hint);
  }
}

function firstLine(text: string): string {
  return text.split(/\r?\n/, 1)[0]!.trim();
}
