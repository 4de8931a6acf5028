// What the central team sees of work that was done while the hub was gone, and what a planner does about it, in headless
// Chromium at desktop and phone size: the order with all that was entered, its follow-up, alerts with who was told and who
// holds them back, the load of alerts. Run by the test `hub_pages` of tests/it, which has had the work done on the box.
//
// In:  CHATTERFIX_HUB, CHATTERFIX_NAME, CHATTERFIX_PASSWORD, CHATTERFIX_ORDER (id), CHATTERFIX_PICTURES.
// Out: "ask: is-shelved-on-the-box" and "ask: release-on-the-box", each answered with one line; "measured: …" at the end.

import assert from "node:assert/strict";
import { join } from "node:path";
import { ask, checked, DESK, device, end, fits, hook, look, open, PHONE, setting } from "./kit.mjs";

const hub = setting("CHATTERFIX_HUB");
const { context, end: close } = await device(DESK);
const page = await open(context, "hub");
const on = (name, more = "") => hook(page, name, more);
const go = (path) => page.goto(hub + path);

/** A page at both sizes, in both schemes; all of it as one picture too. */
async function lookAt(name) {
  await look(page, name);
  await page.screenshot({ path: join(setting("CHATTERFIX_PICTURES"), `${name}-whole.png`), fullPage: true, animations: "disabled" });
  await page.setViewportSize(PHONE);
  await look(page, `${name}-phone`);
  await fits(page, `${name}-phone`);
  await page.screenshot({ path: join(setting("CHATTERFIX_PICTURES"), `${name}-phone-whole.png`), fullPage: true, animations: "disabled" });
  await page.setViewportSize(DESK);
}
async function says(what, ...words) {
  const text = await what.first().innerText();
  for (const word of words) assert.ok(text.includes(word), `"${word}" is not in "${text}"`);
}

async function signIn() {
  await page.goto(hub);
  await on("sign-in-name").fill(setting("CHATTERFIX_NAME"));
  await on("sign-in-password").fill(setting("CHATTERFIX_PASSWORD"));
  await on("sign-in-send").click();
  await on("user").waitFor();
}

/** The order as the people at the machine left it: nothing of it is missing. */
async function theOrder() {
  await go(`/work/${setting("CHATTERFIX_ORDER")}`);
  await on("order", '[data-state="done"]').waitFor();
  assert.equal(await on("step").count(), 4);
  await says(on("steps-left"), "all 4 done");
  await says(on("step").nth(1), "96.5", "outside the limits", "Eva Lang", "good: 20 to 80", "measured at the housing", "before: 69.5");
  await says(on("step").nth(2), "weeps");
  await says(on("step").nth(3), "left out", "too dark");
  await on("failure").filter({ hasText: "Overheats" }).waitFor();
  await says(on("failure"), "Too little grease", "Greased: Two strokes of grease", "It ran with less", "40 min");
  await says(on("signature"), "Eva Lang", "did this work", "with PIN");
  // Eva's clock ran a moment longer than the half hour.
  assert.match(await on("labour-sum").innerText(), /^5[01] min in all: .*Eva Lang 3[01] min/);
  await says(on("labour-sum"), "Jo Brandt 20 min");
  await says(on("part"), "Grease LGMT 2", "4711", "Eva Lang");
  await says(on("comments"), "The grease gun is empty now");
  await says(on("attachment"), "seal.png");
  await says(on("history"), "Failure report", "Signed", "Goes on in", "at the site");
  await lookAt("hub-order");
}

/** A planner verifies and closes it, and plans what was found. */
async function thePlanner() {
  await on("order-more").click();
  await on("action-failure").click();
  await on("failure-problem").filter({ hasText: "Overheats" }).waitFor();
  await look(page, "hub-order-failure-form");
  await page.getByRole("button", { name: "Back", exact: true }).click();
  await on("order-more").click();
  await on("action-part").click();
  await on("part-offer").filter({ hasText: "Grease LGMT 2" }).waitFor();
  await look(page, "hub-order-part-form");
  await page.getByRole("button", { name: "Back", exact: true }).click();
  await on("action-verify").click();
  await on("send-verify").click();
  await page.getByText("Verified: stored at the hub").waitFor();
  await on("action-close").click();
  await on("send-close").click();
  await on("order", '[data-state="closed"]').waitFor();
  await page.locator('dd a[href^="/work/"]').first().click();
  await page.getByRole("heading", { name: "Replace the bearing of pump 7" }).waitFor();
  await on("action-schedule").click();
  await on("field-from").fill("2030-01-02T08:00");
  await look(page, "hub-order-schedule");
  await on("send-schedule").click();
  await on("order", '[data-state="scheduled"]').waitFor();
  await on("order-more").click();
  await on("action-checklist").click();
  await on("choose-offer").filter({ hasText: "Pump, monthly" }).click();
  await on("checklist").waitFor();
  await on("step").nth(1).locator("button").first().click();
  await on("step-number").fill("55");
  await on("step-verdict").filter({ hasText: "Within the limits" }).waitFor();
  await lookAt("hub-order-step");
  await on("step-send").click();
  await on("step", '[data-good="true"]').waitFor();
}

/** Alerts say what was found, who was told and who holds them back; a planner shelves one. */
async function theAlerts() {
  await go("/alerts");
  await on("alert-row").first().waitFor();
  assert.equal(await on("alert-row").count(), 2);
  const row = (words) => on("alert-row").filter({ hasText: words });
  await says(row("Motor of pump 7"), "Changes too fast", "first of its group", "criticality B");
  await says(row("Bearing of pump 7"), "shelved until", "Eva Lang");
  await lookAt("hub-alerts-marked");
  await row("Motor of pump 7").locator("a").first().click();
  await on("alert", '[data-state="active"]').waitFor();
  await says(on("alert-marks"), "Changes too fast", "First of its group", "Criticality B");
  await on("alert-words").waitFor();
  await says(on("told"), "andon");
  await on("action-shelve").click();
  await on("hold-reason").nth(2).click();
  await lookAt("hub-alert-shelve");
  await on("send-shelve").click();
  await says(on("alert-shelved"), "Shelved until", setting("CHATTERFIX_NAME"), "Sensor is being checked");
  await ask("is-shelved-on-the-box");
}

/** The load of alerts, and what is held back: it changes by itself when somebody at the machine gives it back. */
async function theLoad() {
  await go("/alerts");
  await on("to-load").click();
  await on("load-row").first().waitFor();
  await says(on("load-row"), "North works", "2");
  await says(on("bad-actors"), "P-247 bearing", "P-247 motor", "50 %");
  assert.equal(await on("held-point", '[data-state="shelved"]').count(), 2);
  await lookAt("hub-load");
  await on("load-people").selectOption("2");
  await on("load").filter({ hasText: "2 alerts for 2 people" }).waitFor();
  await on("load-hours").selectOption("168");
  await on("load-row").first().waitFor();
  await ask("release-on-the-box");
  await page.waitForFunction(() => document.querySelectorAll('[data-test="held-point"]').length === 1);
  await on("unshelve").click();
  await on("none-held").waitFor();
}

let failed = null;
try {
  await signIn();
  await theOrder();
  await thePlanner();
  await theAlerts();
  await theLoad();
} catch (error) {
  failed = error;
  await page.screenshot({ path: join(setting("CHATTERFIX_PICTURES"), "failed.png"), fullPage: true }).catch(() => {});
}
await close();
end(failed, `${checked()} pictures of the hub's pages without serious accessibility or policy problems`);
