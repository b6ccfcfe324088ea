/** What every refusal of the API has in common. */
import { expect } from 'vitest';
import type { ErrorCode } from '../../src/server/errors.ts';
import type { Answer } from './stage.ts';

/** A refusal as every refusal is: RFC 9457, a known code, one sentence without an inside. */
export function expectRefusal(answer: Answer, status: number, code: ErrorCode): void {
  expect(answer.body).toMatchObject({ code, status });
  expect(answer.status).toBe(status);
  const { detail, type, title } = answer.body as Record<string, string>;
  expect(type).toBe(`urn:zeroreel:error:${code}`);
  expect(title).toBe(code.replaceAll('-', ' '));
  expect(detail).toMatch(/^[^\n]{5,220}$/);
  expect(detail).not.toMatch(/\/(?:tmp|src|node_modules)\/|sqlite|\.ts\b/i);
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
  expect(answer.headers.get('cache-control')).toBe('no-store');
}
