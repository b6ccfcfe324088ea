/** JSON that was signed as bytes: one reading of it only. */
import { fromUtf8 } from './bytes.ts';
import { ProtocolError } from './errors.ts';

/** Deeper than any honest document here; keeps hostile nesting from exhausting the stack. */
const MAX_DEPTH = 32;

/**
 * Parses UTF-8 JSON and refuses what two parsers might read differently: a duplicate key (RFC 8259 section 4 leaves its
 * meaning open) and nesting beyond 32. Throws `format`.
 */
export function parseStrictJson(bytes: Uint8Array): unknown {
  const text = fromUtf8(bytes);
  const value = parseAny(text);
  checkKeys(text);
  return value;
}

function parseAny(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new ProtocolError('format', 'expected JSON');
  }
}

/** A string with the colon that makes it a key, or one of the brackets; everything else is skipped. */
const TOKEN = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/gs;

/**
 * `JSON.parse` quietly keeps the last of two equal keys. Runs after it, on well-formed text only: on an unclosed string the
 * pattern would take quadratic time.
 */
function checkKeys(text: string): void {
  const open: Set<string>[] = [];
  for (const [token, colon] of text.matchAll(TOKEN)) {
    if (token === '{' || token === '[') {
      if (open.length === MAX_DEPTH) throw new ProtocolError('format', `nested deeper than ${MAX_DEPTH}`);
      open.push(new Set());
    } else if (token === '}' || token === ']') {
      open.pop();
    } else if (colon !== undefined) {
      // Escapes are resolved first: "\u0061" and "a" are the same key.
      const key = parseAny(token.slice(0, -colon.length)) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) throw new ProtocolError('format', 'a key occurs twice in one object');
      keys?.add(key);
    }
  }
}
