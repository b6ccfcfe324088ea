/** Reads a source tree with TypeScript's own parser: who imports whom, and which names a module uses. For `boundary.test.ts`. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import ts from 'typescript';

/** Path from the repository's root -> source text. */
export type Tree = ReadonlyMap<string, string>;

export interface Import {
  /** Path in the tree for a relative specifier, else the package or module as it is written. */
  target: string;
  /** Erased before anything runs. */
  isType: boolean;
}

export interface Module {
  path: string;
  imports: Import[];
  /** Members as they are used, as in `Date.now` or `subtle().decrypt`, the last name of each; and free identifiers that are called or newed. */
  members: Set<string>;
  /** `object.member` for members of a plain name. */
  paths: Set<string>;
  /** What cannot be followed: an import of a computed name, eval, require. */
  opaque: string[];
}

/** Every `.ts` and `.tsx` file under these folders or files of the repository. */
export function readTree(root: string, places: readonly string[]): Tree {
  const tree = new Map<string, string>();
  const add = (path: string): void => {
    if (isSource(path)) tree.set(path, readFileSync(join(root, path), 'utf8'));
  };
  for (const place of places) {
    if (isSource(place)) add(place);
    else
      for (const name of readdirSync(join(root, place), { recursive: true, encoding: 'utf8' }))
        add(posix.join(place, name));
  }
  return tree;
}

export function isSource(path: string): boolean {
  return /\.tsx?$/.test(path);
}

export function parseTree(tree: Tree): Map<string, Module> {
  return new Map([...tree].map(([path, text]) => [path, parseModule(path, text)]));
}

function parseModule(path: string, text: string): Module {
  const module: Module = { path, imports: [], members: new Set(), paths: new Set(), opaque: [] };
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);

  const follow = (specifier: ts.Expression | undefined, isType: boolean): void => {
    if (!specifier || !ts.isStringLiteralLike(specifier)) {
      module.opaque.push('an import of a computed name');
      return;
    }
    const name = specifier.text.replace(/\?.*$/, ''); // `?worker&url` says how the build is to load it
    const target = name.startsWith('.') ? posix.join(posix.dirname(path), name) : name;
    module.imports.push({ target, isType });
  };

  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) follow(node.moduleSpecifier, isErased(node.importClause));
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier) follow(node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isExternalModuleReference(node)) follow(node.expression, false);
    else if (ts.isImportTypeNode(node)) {
      follow(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, true);
    } else if (ts.isCallExpression(node)) {
      if (node.expression.kind === ts.SyntaxKind.ImportKeyword) follow(node.arguments[0], false);
      else if (ts.isIdentifier(node.expression)) {
        const { text: name } = node.expression;
        if (name === 'require' || name === 'eval' || name === 'createRequire') module.opaque.push(`a call of ${name}`);
        module.members.add(name);
      }
    } else if (ts.isNewExpression(node) && ts.isIdentifier(node.expression)) {
      const { text: name } = node.expression;
      if (name === 'Function') module.opaque.push('a function made of text');
      // A worker's script is an import too.
      if (name === 'URL' && isOwnUrl(node.arguments?.[1]) && /\.[jt]sx?$/.test(literalText(node.arguments?.[0]))) {
        follow(node.arguments?.[0], false);
      }
      module.paths.add(`new ${name}${node.arguments?.length ? '(...)' : '()'}`);
    } else if (ts.isPropertyAccessExpression(node)) note(node.expression, node.name.text);
    else if (ts.isElementAccessExpression(node)) note(node.expression, literalText(node.argumentExpression));
    else if (ts.isBindingElement(node))
      module.members.add(node.propertyName?.getText(source) ?? node.name.getText(source));
    else if (ts.isImportSpecifier(node)) module.members.add((node.propertyName ?? node.name).text);
    ts.forEachChild(node, visit);
  };

  const note = (object: ts.Expression, member: string): void => {
    module.members.add(member);
    if (ts.isIdentifier(object)) module.paths.add(`${object.text}.${member}`);
  };

  visit(source);
  return module;
}

function isErased(clause: ts.ImportClause | undefined): boolean {
  if (!clause) return false; // imported for its effects
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true;
  const { name, namedBindings } = clause;
  if (name !== undefined || namedBindings === undefined || ts.isNamespaceImport(namedBindings)) return false;
  return namedBindings.elements.length > 0 && namedBindings.elements.every(({ isTypeOnly }) => isTypeOnly);
}

function literalText(node: ts.Expression | undefined): string {
  return node && ts.isStringLiteralLike(node) ? node.text : '';
}

function isOwnUrl(node: ts.Expression | undefined): boolean {
  return node?.getText() === 'import.meta.url';
}

/** Everything that these modules load, with one way to it: `a -> b -> c`. */
export function reach(modules: ReadonlyMap<string, Module>, from: readonly string[]): Map<string, string> {
  const ways = new Map<string, string>(from.map((path) => [path, path]));
  for (const [path, way] of ways) {
    for (const { target } of modules.get(path)?.imports ?? []) {
      if (!ways.has(target)) ways.set(target, `${way} -> ${target}`); // a Map's iteration goes on to what is added
    }
  }
  return ways;
}

/** One cycle among imports that run, as a list of paths; undefined where there is none. */
export function findCycle(modules: ReadonlyMap<string, Module>): string[] | undefined {
  const done = new Set<string>();
  const walk = (path: string, trail: readonly string[]): string[] | undefined => {
    const at = trail.indexOf(path);
    if (at >= 0) return [...trail.slice(at), path];
    if (done.has(path)) return undefined;
    for (const { target, isType } of modules.get(path)?.imports ?? []) {
      if (isType || !modules.has(target)) continue;
      const cycle = walk(target, [...trail, path]);
      if (cycle) return cycle;
    }
    done.add(path);
    return undefined;
  };
  for (const path of modules.keys()) {
    const cycle = walk(path, []);
    if (cycle) return cycle;
  }
  return undefined;
}
