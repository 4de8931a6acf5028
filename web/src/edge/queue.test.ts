// The queue of the phone keeps its promises: nothing dropped, nothing overtaken, nothing in another's name.
import { expect, test } from "vitest";
import { type Answer, ENTRIES_MAX, type Entry, FILES_BYTES_MAX, NotKept, Queue, type Result, type Store, type Who } from "./queue";
import { uuid5 } from "./uuid5";

const EVA: Who = { id: "e", name: "Eva" };
const JO: Who = { id: "j", name: "Jo" };

/** A phone's storage that survives the page: a new queue on it is the page after a reload. */
class Phone implements Store {
  entries = new Map<string, Entry>();
  files = new Map<string, Blob>();
  full = false;
  async all() {
    return [...this.entries.values()];
  }
  async put(entry: Entry, file?: Blob) {
    if (this.full) throw new DOMException("", "QuotaExceededError");
    this.entries.set(entry.key, entry);
    if (file) this.files.set(entry.key, file);
  }
  async remove(key: string) {
    this.entries.delete(key);
    this.files.delete(key);
  }
  async file(key: string) {
    return this.files.get(key) ?? null;
  }
}
/** A box that answers as it is told, and keeps each key once. */
class Box {
  signedIn: Who | null = EVA;
  away = false;
  answers = new Map<string, Answer>();
  got: string[] = [];
  tries: string[] = [];
  opens(who: Who) {
    return who.id === this.signedIn?.id;
  }
  async send(entry: Entry): Promise<Answer> {
    this.tries.push(entry.key);
    if (this.away) return { kind: "away" };
    const answer = this.answers.get(entry.key) ?? { kind: "stored", value: null };
    if (answer.kind === "stored" && !this.got.includes(entry.key)) this.got.push(entry.key);
    return answer;
  }
}
const refusal = { code: "not_now", title: "Not now", detail: "", at: "" };
function entry(key: string, record: string, who = EVA, more: Partial<Entry> = {}): Omit<Entry, "number" | "refused"> {
  return { key, who, record, needs: null, path: `/work-orders/${record}/actions/comment`, body: { by: who.name }, file: null, words: key, at: "", ...more };
}
function made(): { phone: Phone; box: Box; queue: Queue; told: [string, Result["kind"]][] } {
  const phone = new Phone();
  const box = new Box();
  const queue = new Queue(phone, box);
  const told: [string, Result["kind"]][] = [];
  queue.settled = (one, result) => told.push([one.key, result.kind]);
  return { phone, box, queue, told };
}

test("what waits survives a reload, in its order, and is sent once with its key", async () => {
  const { phone, box, queue } = made();
  box.away = true;
  await queue.add(entry("a", "1"));
  await queue.add(entry("b", "1"));
  await queue.run();
  expect(queue.entries.map((one) => one.key)).toEqual(["a", "b"]);
  const after = new Queue(phone, box);
  await after.load();
  await after.add(entry("c", "1"));
  box.away = false;
  await after.run();
  expect(box.got).toEqual(["a", "b", "c"]);
  expect(after.entries).toEqual([]);
  expect(phone.entries.size).toBe(0);
});

test("an answer that was lost is asked for again with the same key", async () => {
  const { box, queue } = made();
  box.away = true;
  await queue.add(entry("a", "1"));
  await queue.run();
  await queue.run();
  box.away = false;
  await queue.run();
  expect(box.tries).toEqual(["a", "a", "a"]);
  expect(box.got).toEqual(["a"]);
});

test("entries of another person wait for that person, others go on", async () => {
  const { box, queue } = made();
  await queue.add(entry("jo", "1", JO));
  await queue.add(entry("eva", "2"));
  await queue.run();
  expect(box.got).toEqual(["eva"]);
  box.signedIn = null;
  await queue.run();
  expect(queue.entries.map((one) => one.key)).toEqual(["jo"]);
  box.signedIn = JO;
  await queue.run();
  expect(box.got).toEqual(["eva", "jo"]);
});

test("within a record nothing overtakes, across records it may", async () => {
  const { box, queue } = made();
  box.answers.set("first", { kind: "later" });
  await queue.add(entry("first", "1"));
  await queue.add(entry("second", "1"));
  await queue.add(entry("other", "2"));
  await queue.run();
  expect(box.got).toEqual(["other"]);
  box.answers.clear();
  await queue.run();
  expect(box.got).toEqual(["other", "first", "second"]);
});

test("who is not signed in holds nobody else up; of two who can be sent the earlier goes first", async () => {
  const { box, queue } = made();
  await queue.add(entry("jo first", "1", JO));
  await queue.add(entry("eva second", "1"));
  await queue.run();
  expect(box.got).toEqual(["eva second"]);
  await queue.add(entry("eva third", "1"));
  box.opens = () => true;
  await queue.run();
  expect(box.got).toEqual(["eva second", "jo first", "eva third"]);
});

test("a refused entry stays until a person decides; facts after it go on", async () => {
  const { phone, box, queue, told } = made();
  box.answers.set("start", { kind: "refused", refusal });
  await queue.add(entry("start", "1"));
  await queue.add(entry("minutes", "1"));
  await queue.run();
  expect(box.got).toEqual(["minutes"]);
  expect(told).toEqual([["start", "refused"], ["minutes", "stored"]]);
  expect([...phone.entries.values()].map((one) => one.refused?.code)).toEqual(["not_now"]);
  await queue.run();
  expect(box.tries.filter((key) => key === "start")).toHaveLength(1);
  box.answers.clear();
  await queue.retry("start");
  expect(queue.entries).toEqual([]);
});

test("what belongs to a record that was made here waits for it, also when the box refuses it", async () => {
  const { box, queue } = made();
  box.answers.set("new", { kind: "refused", refusal });
  await queue.add(entry("new", "n", EVA, { path: "/work-orders" }));
  await queue.add(entry("note", "n", EVA, { needs: "new" }));
  await queue.run();
  expect(box.got).toEqual([]);
  expect(queue.entries.map((one) => [one.key, one.refused !== null, queue.blocked(one)])).toEqual([["new", true, false], ["note", false, true]]);
  box.answers.clear();
  await queue.retry("new");
  expect(box.got).toEqual(["new", "note"]);
});

test("short things go before photos, and lost bytes are told", async () => {
  const { phone, box, queue, told } = made();
  const photo = new Blob(["bytes"]);
  const file = { name: "p.jpg", type: "image/jpeg", bytes: photo.size };
  await queue.add(entry("photo", "1", EVA, { file }), photo);
  await queue.add(entry("note", "2"));
  await queue.add(entry("gone", "3", EVA, { file }), photo);
  phone.files.delete("gone");
  await queue.run();
  expect(box.got).toEqual(["note", "photo"]);
  expect(told.at(-1)).toEqual(["gone", "refused"]);
  expect(queue.entries[0]?.refused?.code).toBe("bytes_lost");
});

test("a full phone keeps nothing and says why", async () => {
  const { phone, queue } = made();
  const why = (adding: Promise<unknown>) => adding.then(() => null, (error: unknown) => (error instanceof NotKept ? error.why : "other"));
  phone.full = true;
  expect(await why(queue.add(entry("a", "1")))).toBe("storage");
  expect(queue.entries).toEqual([]);
  phone.full = false;
  const large = { size: FILES_BYTES_MAX + 1 } as Blob;
  expect(await why(queue.add(entry("b", "1", EVA, { file: { name: "", type: "", bytes: large.size } }), large))).toBe("files");
  for (let index = 0; index < ENTRIES_MAX; index += 1) await queue.add(entry(String(index), "1"));
  expect(await why(queue.add(entry("c", "1")))).toBe("entries");
  expect(queue.entries).toHaveLength(ENTRIES_MAX);
});

test("an entry that comes while others are sent is sent in the same turn", async () => {
  const { box, queue } = made();
  let late: Promise<unknown> = Promise.resolve();
  queue.settled = (one) => {
    if (one.key === "a") late = queue.add(entry("b", "1")).then(() => queue.run());
  };
  await queue.add(entry("a", "1"));
  await queue.run();
  await late;
  expect(box.got).toEqual(["a", "b"]);
});

test("the id of a new record is UUIDv5 of its key", () => {
  // RFC 9562 appendix A.4.
  expect(uuid5("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "www.example.com")).toBe("2ed6657d-e927-568b-95e1-2665a8aea6a2");
  expect(uuid5("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "x".repeat(200))).toHaveLength(36);
});
