/** A connection of better-sqlite3, node:sqlite or a module alike. */
export interface Loadable {
  loadExtension(path: string, entryPoint?: string): unknown;
}

/** The path of this platform's library. Throws where there is none. */
export declare function getLoadablePath(): string;

/** Registers the SQL functions; with `safe` only those that touch no file and run no SQL text. */
export declare function load(db: Loadable, options?: { safe?: boolean }): void;
