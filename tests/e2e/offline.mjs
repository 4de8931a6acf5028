// The box's page when the network or the box itself is gone: two phones with their own lines, cut and restored, reloaded
// while offline, signed out and updated while entries wait, the box killed, the phone full. Run by the test `offline_page`
// of tests/it. Never waits for a time: always for a condition.
//
// In:  CHATTERFIX_BOX, CHATTERFIX_PICTURES.
// Out: "ask: kill-box" and "ask: start-box", each answered with one line; "measured: …" at the end.

import assert from "node:assert/strict";
import { join } from "node:path";
import { ask, checked, device, end, fits, hook, look, open, PHONE, setting, until } from "./kit.mjs";
import { startLine } from "./line.mjs";

const box = setting("CHATTERFIX_BOX");
const [EVA, JO] = ["Eva Lang", "Jo Brandt"];
const NOTE = "The seal drips since the morning";
const ROOM_BYTES = 4_000_000;
/** Between a press and its time at the box: whole seconds, and what a busy machine needs. */
const SLACK_MS = 5_000;
const NEW = "Replace the seal of pump 7";

const api = async (path) => (await fetch(`${box}/api/v1${path}`)).json();
const orders = async () => (await api("/work-orders?state=all")).data;
const orderOf = async (title) => {
  const found = (await orders()).filter((order) => order.title === title);
  assert.ok(found.length <= 1, `${found.length} orders are called ${title}`);
  return found.length === 1 ? api(`/work-orders/${found[0].id}`) : null;
};
const said = (order, what) => order.history.filter((line) => line.what.split(".").pop() === what);

/** A phone with a line of its own, and room for `room_bytes` where it has little; the page is kept on it. */
async function phone(name, room_bytes = null) {
  const line = await startLine(box);
  const { context, end } = await device(PHONE);
  const page = await open(context, name);
  if (room_bytes !== null) {
    const debug = await context.newCDPSession(page);
    await debug.send("Storage.overrideQuotaForOrigin", { origin: line.address, quotaSize: room_bytes });
  }
  await page.goto(`${line.address}/more`);
  await hook(page, "page-card", '[data-state="kept"]').waitFor();
  return { line, page, context, end: () => end().then(line.end), go: (path) => page.goto(line.address + path) };
}
async function iAm(page, name) {
  await hook(page, "who-dialog").waitFor();
  await hook(page, "who-name").fill(name);
  await hook(page, "who-save").click();
  await hook(page, "who-dialog").waitFor({ state: "hidden" });
}
const waits = (page) => hook(page, "outbox-entry");
async function countWaiting(at, number) {
  await at.go("/more");
  await until(`${number} entries wait`, async () => {
    const value = await waits(at.page).count();
    return { value, right: value === number };
  });
}

/** Eva walks out of the network and works on. */
async function workOffline(eva) {
  await eva.go("/alerts");
  await hook(eva.page, "alert-order").first().click();
  await hook(eva.page, "order").waitFor();
  const orderPath = new URL(eva.page.url()).pathname;
  // What is open was taken along before she leaves.
  await until("the alert and its order are on the phone", () => eva.page.evaluate(takenAlong));
  await eva.line.cut();
  await eva.page.reload();
  await hook(eva.page, "page-lost").waitFor();
  assert.match(await hook(eva.page, "stale").innerText(), /As of \d\d:\d\d:\d\d/, "old data has no time");
  await look(eva.page, "box-offline-order");
  await hook(eva.page, "action-labour_start").click();
  await iAm(eva.page, EVA);
  await hook(eva.page, "order", '[data-state="in_progress"]').waitFor();
  await hook(eva.page, "action-labour").click();
  await hook(eva.page, "field-minutes").fill("35");
  await hook(eva.page, "send-labour").click();
  await hook(eva.page, "labour").waitFor();
  await hook(eva.page, "attachment-input").setInputFiles({ name: "seal.png", mimeType: "image/png", buffer: await eva.page.screenshot() });
  await hook(eva.page, "attachment", '[data-place="phone"]').waitFor();
  await hook(eva.page, "comment-text").fill(NOTE);
  await hook(eva.page, "comment-send").click();
  await hook(eva.page, "comments").waitFor();
  await look(eva.page, "box-offline-order-worked");
  await fits(eva.page, "box-offline-order-worked");
  await eva.go("/alerts");
  eva.acknowledged = Date.now();
  await hook(eva.page, "acknowledge").first().click();
  await hook(eva.page, "alert-card", '[data-state="acknowledged"]').first().waitFor();
  await look(eva.page, "box-offline-alerts");
  await eva.go("/work/new");
  await hook(eva.page, "field-title").fill(NEW);
  await hook(eva.page, "send-new-order").click();
  await hook(eva.page, "order-row").filter({ hasText: NEW }).click();
  await hook(eva.page, "action-labour_start").click();
  await hook(eva.page, "order", '[data-state="in_progress"]').waitFor();
  await look(eva.page, "box-offline-new-order");
  return orderPath;
}

/** In the page: whether the phone's storage holds details of an order and of an alert. */
function takenAlong() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("chatterfix");
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      const keys = request.result.transaction("answers").objectStore("answers").getAllKeys();
      keys.onsuccess = () => {
        request.result.close();
        const has = (kind) => keys.result.some((key) => new RegExp(`^${kind} [0-9a-f-]{36}$`).test(key));
        resolve({ value: keys.result, right: has("order") && has("alert") });
      };
    };
  });
}

/** Reload, sign-out and a newer page, while seven entries wait. */
async function keepsWhatWaits(eva) {
  await countWaiting(eva, 7);
  await look(eva.page, "box-offline-waiting");
  await fits(eva.page, "box-offline-waiting");
  // The browser's own "offline" as well: nothing but the worker can open the page.
  await eva.context.setOffline(true);
  await eva.page.reload();
  await countWaiting(eva, 7);
  await eva.context.setOffline(false);
  await hook(eva.page, "who").click();
  await hook(eva.page, "sign-out").click();
  await countWaiting(eva, 7);
  await hook(eva.page, "who").click();
  await iAm(eva.page, JO);
  await countWaiting(eva, 7);
  assert.match(await waits(eva.page).first().innerText(), new RegExp(EVA), "the entry is no longer Eva's");
  eva.line.silence(true);
  eva.line.bring("newer");
  await eva.line.restore();
  await eva.page.evaluate(() => navigator.serviceWorker.getRegistration().then((registration) => registration.update()));
  await hook(eva.page, "page-next").waitFor();
  await look(eva.page, "box-newer-page");
  await hook(eva.page, "page-update").click();
  await eva.page.locator('meta[name="build"][content="newer"]').waitFor({ state: "attached" });
  await countWaiting(eva, 7);
}

/** Meanwhile Jo does the same order at the box. */
async function joIsQuicker(jo, orderPath) {
  await jo.go(orderPath);
  await hook(jo.page, "action-labour_start").click();
  await iAm(jo.page, JO);
  await hook(jo.page, "order", '[data-state="in_progress"]').waitFor();
  await hook(jo.page, "action-complete").click();
  await hook(jo.page, "field-remedy").fill("Seal replaced");
  await hook(jo.page, "send-complete").click();
  await hook(jo.page, "order", '[data-state="done"]').waitFor();
}

/** Everything of Eva's is on the box once, in her name, in her order; her start came too late and is told. */
async function comesBack(eva, orderPath) {
  await until("the acknowledgement is old enough to be told from its arrival", async () => {
    const value = Date.now() - eva.acknowledged;
    return { value, right: value > 3 * SLACK_MS };
  });
  eva.line.silence(false);
  await countWaiting(eva, 1);
  const refused = hook(eva.page, "outbox-entry", '[data-refused="true"]');
  await refused.waitFor();
  await look(eva.page, "box-refused");
  const id = orderPath.split("/").pop();
  const order = await api(`/work-orders/${id}`);
  const labour = order.labour.filter((entry) => entry.minutes === 35);
  assert.deepEqual([said(order, "started").length, labour.length, order.attachments.length, order.comments.length], [1, 1, 1, 1]);
  assert.deepEqual([labour[0].by, order.attachments[0].by, order.comments[0].by].map((by) => by.name ?? by), [EVA, EVA, EVA]);
  assert.deepEqual(order.history.slice(-3).map((line) => line.what.split(".").pop()), ["labour", "attached", "commented"]);
  const made = await orderOf(NEW);
  assert.equal(made?.state, "in_progress", "the new order is not on the box as it was on the phone");
  assert.equal(said(made, "created").length, 1);
  const [alert] = (await api("/alerts")).data;
  assert.equal(alert.acknowledged_by.name ?? alert.acknowledged_by, EVA);
  const off = Date.parse(alert.acknowledged_at) - eva.acknowledged;
  assert.ok(Math.abs(off) < SLACK_MS, `acknowledged ${off} ms after she pressed: the time of its arrival?`);
  // A state that came too late is still a fact: it becomes a note.
  await refused.locator('[data-test="outbox-note"]').click();
  await hook(eva.page, "outbox").waitFor({ state: "detached" });
  assert.equal((await api(`/work-orders/${id}`)).comments.length, 2);
}

/** The box is killed under a press: kept, stored once when it is back. */
async function boxIsKilled(eva, orderPath) {
  await eva.go(orderPath);
  await hook(eva.page, "comment-text").waitFor();
  await ask("kill-box");
  await hook(eva.page, "comment-text").fill("Written while the box was dead");
  await hook(eva.page, "comment-send").click();
  await hook(eva.page, "comments").filter({ hasText: "not yet on the box" }).waitFor();
  await ask("start-box");
  await hook(eva.page, "comments").filter({ hasText: "not yet on the box" }).waitFor({ state: "detached" });
  const order = await api(`/work-orders/${orderPath.split("/").pop()}`);
  assert.equal(order.comments.filter((comment) => comment.text.startsWith("Written while")).length, 1);
}

/** A phone without room says so and keeps nothing. */
async function phoneIsFull(jo, orderPath) {
  await jo.go(orderPath);
  await hook(jo.page, "order").waitFor();
  await jo.line.cut();
  await hook(jo.page, "attachment-input").setInputFiles({ name: "large.png", mimeType: "image/png", buffer: Buffer.alloc(2 * ROOM_BYTES, 7) });
  await hook(jo.page, "toasts").filter({ hasText: "not kept on this phone" }).waitFor();
  await look(jo.page, "box-phone-full");
  await jo.line.restore();
  await countWaiting(jo, 0);
}

const started = Date.now();
const [eva, jo] = [await phone("Eva's phone"), await phone("Jo's phone", ROOM_BYTES)];
let failed = null;
try {
  const orderPath = await workOffline(eva);
  await joIsQuicker(jo, orderPath);
  await keepsWhatWaits(eva);
  await comesBack(eva, orderPath);
  await boxIsKilled(eva, orderPath);
  await phoneIsFull(jo, orderPath);
} catch (error) {
  failed = error;
  for (const [name, { page }] of Object.entries({ eva, jo })) {
    await page.screenshot({ path: join(setting("CHATTERFIX_PICTURES"), `failed-${name}.png`) }).catch(() => {});
  }
}
await eva.end();
await jo.end();
end(failed, `7 entries of a phone that was cut off, reloaded, signed out and updated are on the box once, in order and in their person's name; ${checked()} pages without serious accessibility or policy problems, in ${Math.round((Date.now() - started) / 1000)} s`);
