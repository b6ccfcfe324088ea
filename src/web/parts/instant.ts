/** Times as a person reads them: in the reader's own words for dates, with the zone, because deadlines are the matter here. */
const FORMAT = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const DEADLINE = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'short' });
const ZONE = new Intl.DateTimeFormat(undefined, { timeZoneName: 'short' });

export function instantText(ms: number): string {
  return `${FORMAT.format(ms)} ${zoneAt(ms)}`.trim();
}

/** With the day of the week: until when something has to be done, or will be. */
export function deadlineText(ms: number): string {
  return `${DEADLINE.format(ms)} ${zoneAt(ms)}`.trim();
}

/** It changes with the season. */
function zoneAt(ms: number): string {
  return ZONE.formatToParts(ms).find(({ type }) => type === 'timeZoneName')?.value ?? '';
}

/** `1 recording`, `12 recordings`. */
export function countText(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}
