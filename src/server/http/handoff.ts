/**
 * Documents that are the answer to a form which a platform's page sent. They hand what came to the launch page, in the browser and nowhere
 * else: an id_token is larger than many proxies let a header be, and a log would keep a URL.
 */
import { toBase64Url, utf8 } from '../../../crypto/format/bytes.ts';
import { sha256 } from '../../../crypto/format/hash.ts';
import type { ExamPins } from '../core/launch.ts';

export type Handoff =
  | { to: 'record'; state: string; pins: ExamPins; id_token: string; jwk: object }
  | { to: 'review'; state: string; id_token: string; exam_id: string | null; role: 'instructor' | 'compliance' }
  | { to: 'select'; state: string; id_token: string; exams: { title: string; exam_id: string }[] }
  | { to: 'refused'; reason: string; detail: string; hint: string | null };

/** Where the launch page finds it: in the tab's storage, or, in a frame, to which a browser may lend none, behind the `#`. */
const HAND_OVER = `const h=document.getElementById('handoff').textContent;if(self===top){sessionStorage.setItem('zeroreel handoff',h);location.replace('/launch')}else location.replace('/launch#handoff='+encodeURIComponent(h))`;
const SUBMIT = 'document.forms[0].submit()';

export async function handOver(handoff: Handoff, status: 200 | 403 | 502): Promise<Response> {
  const json = JSON.stringify(handoff).replaceAll('<', '\\u003c');
  return page(`<script type="application/json" id="handoff">${json}</script>`, HAND_OVER, `form-action 'none'`, status);
}

/** Sends a signed selection on to the platform, from the browser, as Deep Linking 2.0 wants it (section 4.4). */
export async function submitTo(url: string, jwt: string): Promise<Response> {
  const form = `<form method="post" action="${escape(url)}"><input type="hidden" name="JWT" value="${escape(jwt)}"></form>`;
  return page(form, SUBMIT, `form-action ${new URL(url).origin}`, 200);
}

async function page(body: string, script: string, formAction: string, status: number): Promise<Response> {
  const digest = toBase64Url(await sha256(utf8(script)))
    .replaceAll('-', '+')
    .replaceAll('_', '/');
  const html = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Zeroreel</title>${body}<noscript>This page needs JavaScript.</noscript><script>${script}</script></html>`;
  return new Response(html, {
    status,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      // A platform shows a tool in a frame, and which of its hosts does cannot be known. What is in the frame does nothing by itself.
      'content-security-policy': `default-src 'none'; script-src 'sha256-${digest}='; base-uri 'none'; ${formAction}; frame-ancestors *`,
    },
  });
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;');
}
