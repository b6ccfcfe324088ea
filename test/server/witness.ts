/**
 * A witness as C2SP tlog-witness describes it, over HTTP and with a key of its own: it keeps the newest tree head that it cosigned,
 * in a file, and refuses whatever did not grow from it.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { base64 } from '@scure/base';
import { equal, toHex, utf8 } from '../../crypto/format/bytes.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import { type Checkpoint, openCheckpoint } from '../../crypto/log/checkpoint.ts';
import { cosignLine, encodeVkey, parseVkey, verifierKey } from '../../crypto/log/note.ts';
import { verifyConsistency } from '../../crypto/log/tree.ts';
import { signerOf } from '../crypto/log/keys.ts';

interface Head {
  size: number;
  rootHex: string;
}

export interface WitnessOptions {
  name?: string;
  /** Where the newest head is kept. */
  path: string;
  /** First byte of its key's seed. */
  seed?: number;
  /** Seconds since 1970. */
  now?: () => number;
}

export class TestWitness {
  /** Verifier keys of the logs that it watches. */
  readonly logs: string[] = [];
  readonly vkey: string;
  /** Statuses that it answered with. */
  readonly answers: number[] = [];
  /** What it does instead of its work. */
  mischief: ((request: IncomingMessage, response: ServerResponse) => 'handled' | undefined) | undefined;
  readonly #options: Required<WitnessOptions>;
  readonly #server = createServer((request, response) => void this.#answer(request, response));

  constructor(options: WitnessOptions) {
    this.#options = {
      name: 'witness.example.org/w1',
      seed: 0x70,
      now: () => Math.floor(Date.now() / 1000),
      ...options,
    };
    this.vkey = encodeVkey(verifierKey(this.#options.name, signerOf(this.#options.seed).publicKey, 4));
  }

  async start(): Promise<this> {
    await new Promise<void>((listening) => this.#server.listen(0, '127.0.0.1', listening));
    return this;
  }

  /** As the log is configured with it. */
  get address() {
    return { url: `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`, key: parseVkey(this.vkey) };
  }

  get head(): Head {
    const { path } = this.#options;
    return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Head) : { size: 0, rootHex: '' };
  }

  async close(): Promise<void> {
    const closed = new Promise((done) => this.#server.close(done));
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.mischief?.(request, response) === 'handled') return;
    let body = '';
    for await (const piece of request.setEncoding('utf8')) body += piece as string;
    const { status, text = '' } =
      request.method === 'POST' && request.url === '/add-checkpoint' ? await this.#add(body) : { status: 404 };
    this.answers.push(status);
    response.writeHead(status, { 'content-type': status === 409 ? 'text/x.tlog.size' : 'text/plain' }).end(text);
  }

  async #add(body: string): Promise<{ status: number; text?: string }> {
    const match = /^old (0|[1-9]\d*)\n((?:[A-Za-z0-9+/]{43}=\n){0,63})\n([^]+)$/.exec(body);
    if (!match) return { status: 400 };
    const old = Number(match[1]);
    const proof = match[2]!
      .split('\n')
      .filter(Boolean)
      .map((line) => base64.decode(line));
    const note = match[3]!;
    const vkey = this.logs.find((known) => parseVkey(known).name === note.split('\n', 1)[0]);
    if (vkey === undefined) return { status: 404 };
    let checkpoint: Checkpoint;
    try {
      checkpoint = await openCheckpoint(note, vkey, parseVkey(vkey).name);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return { status: 403 };
    }
    const { size, root } = checkpoint;
    if (old > size) return { status: 400 };
    const head = this.head;
    if (old !== head.size) return { status: 409, text: `${head.size}\n` };
    const oldRoot = Uint8Array.from(Buffer.from(head.rootHex, 'hex'));
    if (old === size && !equal(oldRoot, root)) return { status: 409, text: `${head.size}\n` };
    try {
      if (old > 0) verifyConsistency(old, oldRoot, size, root, proof);
      else if (proof.length > 0) return { status: 422 };
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return { status: 422 };
    }
    const { path, name, seed, now } = this.#options;
    writeFileSync(`${path}.new`, JSON.stringify({ size, rootHex: toHex(root) } satisfies Head));
    renameSync(`${path}.new`, path);
    const { publicKey, sign } = signerOf(seed);
    const text = note.slice(0, note.lastIndexOf('\n\n') + 1);
    // Another key's line too: whoever asked must pass over it.
    const other = signerOf(seed + 1);
    const stranger = await cosignLine(text, verifierKey('other.example.org', other.publicKey, 4), now(), other.sign);
    return { status: 200, text: stranger + (await cosignLine(text, verifierKey(name, publicKey, 4), now(), sign)) };
  }
}

/** A head that no honest history of this log leads to. */
export function forkedHead(size: number): string {
  return JSON.stringify({ size, rootHex: toHex(utf8('another history'.padEnd(32))) } satisfies Head);
}
