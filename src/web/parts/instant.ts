/** Times as a person reads them: in the reader's own words for dates, with the zone, because deadlines are the matter here. */
const FORMAT = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const ZONE = new Intl.DateTimeFormat(undefined, { timeZoneName: 'short' });

export function instantText(ms: number): string {
  const zone = ZONE.formatToParts(ms).find(({ type }) => type === 'timeZoneName')?.value ?? '';
  return `${FORMAT.format(ms)} ${zone}`.trim();
}

/** `1 recording`, `12 recordings`. */
export function countText(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}
