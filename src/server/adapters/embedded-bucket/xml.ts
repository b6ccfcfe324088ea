import { XMLParser } from 'fast-xml-parser';
import { SyntaxValidator } from 'fast-xml-validator';
import { S3Error } from './errors.ts';

/** A document to be rendered: text, or elements in order; a list repeats its element; undefined leaves it out. */
export type XmlValue = string | number | boolean | undefined | XmlValue[] | { [name: string]: XmlValue };

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' };

function escapeText(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ESCAPES[character]!).replaceAll('\r', '&#13;');
}

function element(name: string, value: XmlValue): string {
  if (value === undefined) return '';
  if (Array.isArray(value)) return value.map((item) => element(name, item)).join('');
  if (typeof value !== 'object') return `<${name}>${escapeText(String(value))}</${name}>`;
  return `<${name}>${Object.entries(value)
    .map(([child, content]) => element(child, content))
    .join('')}</${name}>`;
}

/** An S3 answer: the root carries S3's namespace, without which some clients find nothing. */
export function renderXml(root: string, value: Exclude<XmlValue, undefined>): string {
  const body = element(root, value);
  return `<?xml version="1.0" encoding="UTF-8"?>\n${body.replace(`<${root}>`, `<${root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`)}`;
}

/** An error has no namespace. */
export function renderError(value: XmlValue): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${element('Error', value)}`;
}

const NAMED: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** The five named entities and numeric ones, which Go's and Java's writers use for quotes and line ends (XML 1.0, section 4.1). */
function decodeEntities(text: string): string {
  return text.replaceAll(/&([^;&]{0,10});?/g, (_, entity: string) => {
    const numeric = /^#(?:x([0-9a-fA-F]{1,6})|(\d{1,7}))$/.exec(entity);
    const point = numeric ? Number.parseInt(numeric[1] ?? numeric[2]!, numeric[1] === undefined ? 10 : 16) : -1;
    const decoded = point > 0 && point <= 0x10ffff ? String.fromCodePoint(point) : NAMED[entity];
    if (decoded === undefined) throw new S3Error('MalformedXML', 'expected no entity but the predefined ones');
    return decoded;
  });
}

const parser = new XMLParser({
  parseTagValue: false,
  trimValues: false,
  processEntities: false,
  ignoreDeclaration: true,
  removeNSPrefix: true,
  tagValueProcessor: (_, text) => decodeEntities(text),
});

/** A parsed element: its text, or its children by name. */
export type XmlNode = string | { [name: string]: XmlNode | XmlNode[] };

/**
 * Parses the body of a request whose root must be `root`. A document type is refused: it is what entity expansion and
 * external entities (XXE) are declared in, and S3's own documents never have one.
 */
export function parseXml(text: string, root: string): XmlNode {
  if (/<!(?:DOCTYPE|ENTITY)/i.test(text)) throw new S3Error('MalformedXML', 'expected XML without a document type');
  try {
    SyntaxValidator.validate(text);
  } catch (error) {
    throw new S3Error('MalformedXML', 'expected well-formed XML', { cause: error });
  }
  const parsed = parser.parse(text) as Record<string, XmlNode>;
  const node = parsed[root];
  if (node === undefined) throw new S3Error('MalformedXML', `expected a document ${root}`);
  return node;
}

/** The children of that name, none, one or many. */
export function children(node: XmlNode, name: string): XmlNode[] {
  if (typeof node === 'string') return [];
  const found = node[name];
  return found === undefined ? [] : Array.isArray(found) ? found : [found];
}

/** The text of the only child of that name, undefined where it is absent. */
export function childText(node: XmlNode, name: string): string | undefined {
  const found = children(node, name);
  if (found.length === 0) return undefined;
  if (found.length > 1 || typeof found[0] !== 'string')
    throw new S3Error('MalformedXML', `expected one text in ${name}`);
  return found[0];
}
