/** The API to read, for whoever has this server and nothing else: `/v1/openapi.json` for programs, `/v1/reference` for people, without a script. */
import { Hono } from 'hono';
import { html, raw } from 'hono/html';
import { ERRORS } from '../errors.ts';
import { AGAIN, openapiDocument } from './openapi.ts';
import { tagged } from './request.ts';
import { type Route, refusalsOf, routeRows } from './routes.ts';

const STYLE = `:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:70rem;margin:0 auto;padding:1rem}
table{border-collapse:collapse;width:100%;display:block;overflow-x:auto}th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #8886}
code{font-family:ui-monospace,monospace;overflow-wrap:anywhere}section{border-top:1px solid #8886;margin-top:1.5rem}pre{overflow-x:auto;font-size:.85rem}
summary{cursor:pointer}@media print{details{break-inside:avoid}}`;

export function referenceRoutes(): Hono {
  const routes = new Hono();
  // Made when it is first asked for, and then kept: the table does not change while the process lives.
  let document: string | undefined;
  let page: { content: string; policy: string } | undefined;
  routes.get('/openapi.json', (c) => {
    document ??= JSON.stringify(openapiDocument());
    return tagged(c, document, 'application/json', 'public');
  });
  routes.get('/reference', async (c) => {
    page ??= { content: String(await referencePage()), policy: await policyFor(STYLE) };
    c.header('content-security-policy', page.policy);
    return tagged(c, page.content, 'text/html; charset=utf-8', 'public');
  });
  return routes;
}

/** Nothing but this one style, by its hash. */
async function policyFor(style: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(style));
  const base64 = btoa(String.fromCharCode(...new Uint8Array(digest)));
  return `default-src 'none'; style-src 'sha256-${base64}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
}

/** Who may call a route, in words. */
export function whoMay({ access }: Route): string {
  if (access === 'anybody') return 'anybody';
  if (access === 'recorder') return 'the recorder, with its epoch’s upload token';
  return ['admin', ...access].join(', ');
}

function referencePage() {
  const { components } = openapiDocument() as unknown as { components: { schemas: Record<string, unknown> } };
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width" />
        <title>Zeroreel: the API</title>
        <style>
          ${raw(STYLE)}
        </style>
      </head>
      <body>
        <main>
          <h1>The API</h1>
          <p>
            For programs: <a href="/v1/openapi.json">OpenAPI 3.1</a>. Refusals are problem details (RFC 9457) with a
            stable <code>code</code>.
          </p>
          <h2>Routes</h2>
          <table>
            <thead>
              <tr>
                <th scope="col">route</th>
                <th scope="col">what</th>
                <th scope="col">who</th>
              </tr>
            </thead>
            <tbody>
              ${routeRows.map(
                ([name, row]) =>
                  html`<tr>
                    <td>
                      <a href="#${anchor(name)}"><code>${name}</code></a>
                    </td>
                    <td>${row.summary}</td>
                    <td>${whoMay(row)}</td>
                  </tr>`,
              )}
            </tbody>
          </table>
          ${routeRows.map(([name, row]) => routeSection(name, row))}
          <h2>Refusals</h2>
          <table>
            <thead>
              <tr>
                <th scope="col">code</th>
                <th scope="col">status</th>
                <th scope="col">meaning</th>
              </tr>
            </thead>
            <tbody>
              ${Object.entries(ERRORS).map(
                ([code, [status, meaning]]) =>
                  html`<tr>
                    <td><code>${code}</code></td>
                    <td>${status}</td>
                    <td>${meaning}</td>
                  </tr>`,
              )}
            </tbody>
          </table>
          <h2>Schemas</h2>
          ${Object.entries(components.schemas).map(
            ([name, schema]) =>
              html`<details id="${name}">
                <summary><code>${name}</code></summary>
                <pre>${JSON.stringify(schema, null, 2)}</pre>
              </details>`,
          )}
        </main>
      </body>
    </html>`;
}

const anchor = (name: string) => name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');

function routeSection(name: (typeof routeRows)[number][0], row: Route) {
  return html`<section>
    <h3 id="${anchor(name)}"><code>${name}</code></h3>
    <p>${row.summary}. Who: ${whoMay(row)}. ${AGAIN[row.again]}</p>
    ${row.deprecated && html`<p>Deprecated since ${row.deprecated.since}, gone from ${row.deprecated.sunset}: use ${row.deprecated.instead}.</p>`}
    <p>Refuses: ${[...refusalsOf(name)].join(', ')}.</p>
  </section>`;
}
