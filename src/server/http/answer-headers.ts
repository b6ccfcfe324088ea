/** What every answer of the API has, whatever it is: it is no page, nobody frames it, nobody guesses its type, and no other site's page embeds it. */
const ANSWER_HEADERS: readonly (readonly [name: string, value: string])[] = [
  ['x-content-type-options', 'nosniff'],
  ['content-security-policy', `default-src 'none'; frame-ancestors 'none'`],
  ['referrer-policy', 'no-referrer'],
  ['cross-origin-resource-policy', 'same-origin'],
];

/** With HSTS where the service is reached over TLS: half a year, this host only, because nobody else's hosts are ours to bind. */
export function answerHeaders(publicUrl: string | undefined): readonly (readonly [name: string, value: string])[] {
  const isSecure = publicUrl?.startsWith('https:') === true;
  return isSecure ? [...ANSWER_HEADERS, ['strict-transport-security', 'max-age=15552000']] : ANSWER_HEADERS;
}
