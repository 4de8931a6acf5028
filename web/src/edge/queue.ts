// What was pressed on this phone and the box has not stored yet: the rules of the queue. Pure but for the store and the
// sender that it is given. Never drops an entry by itself, never sends one in another person's name, never overtakes
// within a record.

/** Entries that a phone keeps; at it, a further one is refused in words. */
export const ENTRIES_MAX = 500;
/** Bytes of photos and files that a phone keeps; at it, a further one is refused in words. */
export const FILES_BYTES_MAX = 200 * 1024 * 1024;

export interface Who {
  /** null where the box has no list of people and a name was typed. */
  id: string | null;
  name: string;
}
export interface Refusal {
  code: string;
  title: string;
  detail: string;
  at: string;
}
export interface Entry {
  /** The Idempotency-Key: the same with every try. */
  key: string;
  /** Order on this phone. */
  number: number;
  who: Who;
  /** The record it is about. */
  record: string;
  /** The key of the entry that makes this record, when it was made on this phone. */
  needs: string | null;
  path: string;
  body: Record<string, unknown>;
  /** A photo or file that goes as the body; its bytes are kept beside the entry. */
  file: { name: string; type: string; bytes: number } | null;
  words: string;
  at: string;
  /** What the box said when it did not take it; such an entry waits for a person. */
  refused: Refusal | null;
}

/** Where entries survive a reload. Each promise settles when the phone's storage has done it. */
export interface Store {
  all(): Promise<Entry[]>;
  put(entry: Entry, file?: Blob): Promise<void>;
  remove(key: string): Promise<void>;
  file(key: string): Promise<Blob | null>;
}

export type Answer =
  | { kind: "stored"; value: unknown }
  /** The box does not answer: nothing else is worth a try. */
  | { kind: "away" }
  /** Not now, but later by itself: the record waits, others go on. */
  | { kind: "later" }
  | { kind: "refused"; refusal: Refusal };

export interface Door {
  /** Whether entries of this person can be sent now: signed in, or the box asks nobody. */
  opens(who: Who): boolean;
  send(entry: Entry, file: Blob | null): Promise<Answer>;
}

export type Result = { kind: "stored"; value: unknown } | { kind: "refused"; refusal: Refusal } | { kind: "waits" };

/** Why an entry was not kept. */
export class NotKept extends Error {
  readonly why: "entries" | "files" | "storage";
  constructor(why: "entries" | "files" | "storage", cause?: unknown) {
    super(`not kept: ${why}`, { cause });
    this.why = why;
  }
}

export class Queue {
  entries: Entry[] = [];
  /** Called after every change of `entries`. */
  changed: () => void = () => {};
  /** Called for each entry that the box has stored or refused. */
  settled: (entry: Entry, result: Result) => void = () => {};

  #store: Store;
  #door: Door;
  #running: Promise<void> | null = null;
  #again = false;

  constructor(store: Store, door: Door) {
    this.#store = store;
    this.#door = door;
  }

  /** Reads what an earlier page left; entries that came meanwhile stay. */
  async load(): Promise<void> {
    const kept = await this.#store.all();
    this.#set(kept);
  }

  #set(entries: Entry[]): void {
    this.entries = [...entries].sort((a, b) => a.number - b.number);
    this.changed();
  }

  of(record: string): Entry[] {
    return this.entries.filter((entry) => entry.record === record);
  }

  fileBytes(): number {
    return this.entries.reduce((sum, entry) => sum + (entry.file?.bytes ?? 0), 0);
  }

  /** Keeps an entry; it is on the phone's storage when this settles. */
  async add(entry: Omit<Entry, "number" | "refused">, file?: Blob): Promise<Entry> {
    if (this.entries.length >= ENTRIES_MAX) throw new NotKept("entries");
    if (file && this.fileBytes() + file.size > FILES_BYTES_MAX) throw new NotKept("files");
    const last = this.entries[this.entries.length - 1];
    const made: Entry = { ...entry, number: (last?.number ?? 0) + 1, refused: null };
    // The place in the order is taken before the storage answers.
    this.#set([...this.entries, made]);
    try {
      await this.#store.put(made, file);
    } catch (error) {
      this.#set(this.entries.filter((other) => other.key !== made.key));
      throw new NotKept("storage", error);
    }
    return made;
  }

  /** A person has seen it, or it is stored. */
  async forget(key: string): Promise<void> {
    await this.#store.remove(key);
    this.#set(this.entries.filter((entry) => entry.key !== key));
  }

  /** A refused entry is tried again, in its place. */
  async retry(key: string): Promise<void> {
    await this.#mark(key, null);
    await this.run();
  }

  async #mark(key: string, refused: Refusal | null): Promise<void> {
    const entry = this.entries.find((other) => other.key === key);
    if (!entry) return;
    const marked = { ...entry, refused };
    await this.#store.put(marked);
    this.#set(this.entries.map((other) => (other.key === key ? marked : other)));
  }

  /** What may not be sent yet because something before it waits. */
  blocked(entry: Entry): boolean {
    const before = this.entries.filter((other) => other.number < entry.number);
    return before.some(
      (other) =>
        // A record that the box refused to make does not exist: what belongs to it waits for the person too.
        other.key === entry.needs || (other.record === entry.record && other.refused === null),
    );
  }

  /** Sends what can be sent, oldest first and short things before photos; one run at a time. */
  run(): Promise<void> {
    if (this.#running) {
      this.#again = true;
      return this.#running;
    }
    this.#running = this.#rounds().finally(() => (this.#running = null));
    return this.#running;
  }

  async #rounds(): Promise<void> {
    do {
      this.#again = false;
      const held = new Set<string>();
      for (;;) {
        const next = this.#next(held);
        if (!next) break;
        const answer = await this.#try(next);
        if (answer === "away") return;
        if (answer === "later") held.add(next.record);
      }
    } while (this.#again);
  }

  #next(held: Set<string>): Entry | undefined {
    const ready = this.entries.filter(
      (entry) => entry.refused === null && !held.has(entry.record) && this.#door.opens(entry.who) && !this.blocked(entry),
    );
    return ready.find((entry) => entry.file === null) ?? ready[0];
  }

  async #try(entry: Entry): Promise<"on" | "away" | "later"> {
    const file = entry.file ? await this.#store.file(entry.key) : null;
    if (entry.file && !file) {
      // The phone's storage gave up the bytes; the entry says so instead of waiting for ever.
      const refusal = { code: "bytes_lost", title: "This phone no longer has the file", detail: "Its storage was cleared. Add the photo again.", at: new Date().toISOString() };
      await this.#mark(entry.key, refusal);
      this.settled(entry, { kind: "refused", refusal });
      return "on";
    }
    const answer = await this.#door.send(entry, file);
    switch (answer.kind) {
      case "stored":
        // In one step: what is shown never falls back to how it was before.
        this.#set(this.entries.filter((other) => other.key !== entry.key));
        this.settled(entry, answer);
        await this.#store.remove(entry.key);
        return "on";
      case "refused":
        await this.#mark(entry.key, answer.refusal);
        this.settled(entry, answer);
        return "on";
      default:
        return answer.kind;
    }
  }
}
