/**
 * Global setup: a real S3 store, made by other people, for the tests that need one. `ZEROREEL_TEST_S3` names a gateway that is running
 * already, as JSON of `Gateway`, or is `none`; otherwise one is started for this run, where Debian's packages are installed.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Gateway {
  endpoint: string;
  region: string;
  credentials: { accessKeyId: string; secretAccessKey: string };
}

const SCRIPT = new URL('../scripts/ceph-rgw', import.meta.url).pathname;
/** What a command-line filter must at least touch for the gateway to be worth its 15 seconds. */
const USERS = /ceph|bucket|e2e|stack/;

/** The gateway of this run, undefined where there is none. */
export function gateway(): Gateway | undefined {
  const text = process.env['ZEROREEL_TEST_S3'];
  return text === undefined || text === 'none' ? undefined : (JSON.parse(text) as Gateway);
}

/** Why there is no gateway, in a test's title; undefined where there is one. With `ZEROREEL_REQUIRE_ALL=1` absence is a failure. */
export function gatewayAbsence(): string | undefined {
  if (gateway()) return undefined;
  if (process.env['ZEROREEL_REQUIRE_ALL'] === '1')
    throw new Error('expected a Ceph Object Gateway: ZEROREEL_REQUIRE_ALL is set');
  return 'skipped: no Ceph Object Gateway on this machine';
}

function hasPackages(): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v radosgw && command -v ceph-osd && command -v ceph-mon'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

export default function setup(): (() => void) | undefined {
  if (process.env['ZEROREEL_TEST_S3'] !== undefined) return undefined;
  const filters = process.argv
    .slice(2)
    .filter((argument) => argument.startsWith('test/') && !argument.endsWith('config.ts'));
  if (filters.length > 0 && !filters.some((filter) => USERS.test(filter))) return undefined;
  if (!hasPackages()) {
    process.stderr.write(
      '\n*** NO CEPH OBJECT GATEWAY HERE: its tests are SKIPPED (scripts/ceph-rgw says what to install) ***\n\n',
    );
    return undefined;
  }
  const parent = mkdtempSync(join(tmpdir(), 'zeroreel-ceph-'));
  const dir = join(parent, 'rgw');
  const stop = (): void => {
    execFileSync(SCRIPT, ['stop', dir], { stdio: 'inherit' });
    rmSync(parent, { recursive: true, force: true });
  };
  try {
    const endpoint = execFileSync(SCRIPT, ['start', dir], { stdio: ['ignore', 'pipe', 'inherit'] })
      .toString()
      .trim();
    const credentials = { accessKeyId: 'AKTEST', secretAccessKey: 'SKTEST' };
    process.env['ZEROREEL_TEST_S3'] = JSON.stringify({ endpoint, region: 'us-east-1', credentials } satisfies Gateway);
  } catch (error) {
    stop();
    if (process.env['ZEROREEL_REQUIRE_ALL'] === '1') throw error;
    process.stderr.write('\n*** THE CEPH OBJECT GATEWAY DID NOT START: its tests are SKIPPED ***\n\n');
    return undefined;
  }
  return stop;
}
