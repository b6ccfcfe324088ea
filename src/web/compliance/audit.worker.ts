/** Reads and verifies the log away from the page, so that the page stays responsive over a log of any length. */
import { z } from 'zod';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import { Api } from '../../client/api.ts';
import { auditLog, type LogAudit } from '../../client/log-audit.ts';

z.config({ jitless: true });

export interface AuditTask {
  origin: string;
  vkey: string | undefined;
  seen: string[];
  /** The page's clock, ms. */
  now: number;
}

/** `files` travel as blobs: bytes that nobody copies. */
export type AuditNews =
  | { kind: 'progress'; entries: number; of: number }
  | { kind: 'done'; audit: Omit<LogAudit, 'files'>; files: { name: string; blob: Blob }[] }
  | {
      kind: 'failed';
      /** Whether the log speaks against itself; otherwise it could not be read, and nothing is known. */
      isRefuted: boolean;
      code: string;
      message: string;
    };

function tell(news: AuditNews): void {
  postMessage(news);
}

async function run({ origin, vkey, seen, now }: AuditTask): Promise<void> {
  try {
    const { files, ...audit } = await auditLog(new Api({ url: origin }), {
      vkey,
      seen,
      now,
      onProgress: (entries, of) => {
        tell({ kind: 'progress', entries, of });
      },
    });
    tell({ kind: 'done', audit, files: files.map(({ name, parts }) => ({ name, blob: new Blob(parts) })) });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'internal';
    const message = error instanceof Error ? error.message : String(error);
    tell({ kind: 'failed', isRefuted: error instanceof ProtocolError, code, message });
  }
}

addEventListener('message', ({ data }: MessageEvent<AuditTask>) => void run(data));
