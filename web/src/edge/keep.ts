// The phone's storage (IndexedDB): the queue with its files, and the last answers of the box with their time. Never
// shown as live: whoever reads an answer from here gets its time with it.
import type { Entry, Store } from "./queue";

const NAME = "chatterfix";
/** Raised when a table is added; entries of older pages stay as they are. */
const VERSION = 1;
/** Answers that are kept; the oldest make room. */
const ANSWERS_MAX = 400;

let opened: Promise<IDBDatabase> | null = null;

function open(): Promise<IDBDatabase> {
  opened ??= new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      const database = request.result;
      if (!database.objectStoreNames.contains("entries")) database.createObjectStore("entries", { keyPath: "key" });
      if (!database.objectStoreNames.contains("files")) database.createObjectStore("files");
      if (!database.objectStoreNames.contains("answers")) database.createObjectStore("answers").createIndex("at", "at");
    };
    request.onsuccess = () => {
      // A newer page in another tab must not wait for this one.
      request.result.onversionchange = () => {
        request.result.close();
        opened = null;
      };
      resolve(request.result);
    };
    request.onerror = () => reject(request.error);
  });
  opened.catch(() => (opened = null));
  return opened;
}

/** Runs `work` in one transaction; settles when the storage has done it. */
async function transact<T>(tables: string[], mode: IDBTransactionMode, work: (of: (table: string) => IDBObjectStore) => IDBRequest<T> | null): Promise<T | undefined> {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(tables, mode, { durability: "strict" });
    const request = work((table) => transaction.objectStore(table));
    transaction.oncomplete = () => resolve(request?.result);
    transaction.onabort = () => reject(transaction.error ?? request?.error ?? new Error("the storage of this phone refused"));
  });
}

export const entryStore: Store = {
  async all() {
    return (await transact<Entry[]>(["entries"], "readonly", (of) => of("entries").getAll())) ?? [];
  },
  async put(entry, file) {
    await transact(["entries", "files"], "readwrite", (of) => {
      if (file) of("files").put(file, entry.key);
      return of("entries").put(entry);
    });
  },
  async remove(key) {
    await transact(["entries", "files"], "readwrite", (of) => {
      of("files").delete(key);
      return of("entries").delete(key);
    });
  },
  async file(key) {
    const file = await transact<unknown>(["files"], "readonly", (of) => of("files").get(key));
    return file instanceof Blob ? file : null;
  },
};

/** The last answer of the box for an address. */
export interface KeptAnswer {
  value: unknown;
  /** ms of this device. */
  at: number;
}

export async function recall(name: string): Promise<KeptAnswer | null> {
  return (await transact<KeptAnswer>(["answers"], "readonly", (of) => of("answers").get(name))) ?? null;
}

export async function keepAnswer(name: string, value: unknown): Promise<void> {
  await transact(["answers"], "readwrite", (of) => of("answers").put({ value, at: Date.now() } satisfies KeptAnswer, name));
}

/** Lets the oldest answers go; called now and then, not with every answer. */
export async function trimAnswers(): Promise<void> {
  const count = (await transact<number>(["answers"], "readonly", (of) => of("answers").count())) ?? 0;
  if (count <= ANSWERS_MAX) return;
  let excess = count - ANSWERS_MAX;
  await transact(["answers"], "readwrite", (of) => {
    const request = of("answers").index("at").openCursor();
    request.onsuccess = () => {
      const cursor = request.result;
      if (!cursor || excess === 0) return;
      excess -= 1;
      cursor.delete();
      cursor.continue();
    };
    return null;
  });
}
