// The whole slice as people see it, in headless Chromium: the hub's pages, then the box's page with
// the hub stopped, then the hub again. Run by the test `browser` of tests/it, which starts the
// programs and stops the hub when this asks for it. Never waits for a time: always for a condition.
//
// In:  CHATTERFIX_HUB, CHATTERFIX_BOX (addresses), CHATTERFIX_NAME, CHATTERFIX_PASSWORD,
//      CHATTERFIX_PICTURES (folder for screenshots).
// Out: "ask: stop-hub" and "ask: start-hub", each answered with one line; "measured: …" at the end.

import assert from "node:assert/strict";
import { join } from "node:path";
import { ask, checked, DESK, device, end, fits, hook, look, moves, open, PHONE, problems, setting } from "./kit.mjs";

const hub = setting("CHATTERFIX_HUB");
const box = setting("CHATTERFIX_BOX");
/** Longest run that docs/promises.md allows. */
const RUN_MS_MAX = 90_000;
const PERSON = "Eva Lang";
const REMEDY = "Seal replaced, bearing greased";

async function signIn(page) {
  await hook(page, "sign-in-name").fill(setting("CHATTERFIX_NAME"));
  await hook(page, "sign-in-password").fill(setting("CHATTERFIX_PASSWORD"));
  await hook(page, "sign-in-send").click();
  await hook(page, "user").waitFor();
}

async function atTheHub(page) {
  await page.goto(hub);
  await hook(page, "sign-in").waitFor();
  await look(page, "hub-sign-in");
  await signIn(page);
  await hook(page, "decision").first().waitFor();
  await look(page, "hub-home");
  await hook(page, "nav-sensors").click();
  await moves(hook(page, "live-value").first());
  await look(page, "hub-sensors");
  await hook(page, "sensor-row").first().locator("a").first().click();
  await hook(page, "chart").waitFor();
  await moves(hook(page, "live-value").first());
  await look(page, "hub-sensor");
  await hook(page, "nav-gateways").click();
  await hook(page, "gateway").first().waitFor();
  await look(page, "hub-gateways");
  await hook(page, "nav-work").click();
  await hook(page, "order-row").first().waitFor();
  await look(page, "hub-orders");
  await hook(page, "nav-alerts").click();
  await hook(page, "alert-row").first().waitFor();
  await look(page, "hub-alerts");
  await hook(page, "alert-row").first().locator("a").first().click();
  await page.locator('[data-test="alert"][data-state="active"]').waitFor();
  await look(page, "hub-alert");
  await hook(page, "alert-order").click();
  await page.locator('[data-test="order"][data-state="open"]').waitFor();
  await look(page, "hub-order-open");
  return new URL(page.url()).pathname;
}

/** Everything on the box's page while nobody answers at the hub. */
async function atTheBox(page, orderPath) {
  await page.goto(box);
  const link = page.locator('[data-test="link-card"][data-state="offline"]');
  await link.waitFor();
  assert.match(await link.innerText(), /No link|no link/, "the page does not say that there is no link");
  const card = hook(page, "alert-card").first();
  await card.waitFor();
  await look(page, "box-alerts");
  await card.locator('[data-test="acknowledge"]').click();
  await hook(page, "who-dialog").waitFor();
  await hook(page, "who-name").fill(PERSON);
  await look(page, "box-who");
  await hook(page, "who-save").click();
  await page.locator('[data-test="alert-card"][data-state="acknowledged"]').first().waitFor();
  await fits(page, "box-alerts");
  await hook(page, "alert-order").first().click();
  assert.equal(new URL(page.url()).pathname, orderPath, "the box shows another order than the hub");
  await hook(page, "action-labour_start").click();
  await page.locator('[data-test="order"][data-state="in_progress"]').waitFor();
  await look(page, "box-order-started");
  await hook(page, "action-complete").click();
  await hook(page, "field-remedy").fill(REMEDY);
  await look(page, "box-order-form");
  await hook(page, "send-complete").click();
  await page.locator('[data-test="order"][data-state="done"]').waitFor();
  await look(page, "box-order-done");
  await fits(page, "box-order-done");
  await hook(page, "nav-work").click();
  await hook(page, "work-tab-open").waitFor();
  await look(page, "box-work");
  await hook(page, "nav-plant").click();
  await hook(page, "assets").waitFor();
  await look(page, "box-machines");
  await hook(page, "plant-tab-sensors").click();
  await moves(hook(page, "live-value").first());
  await look(page, "box-plant");
  await fits(page, "box-plant");
  await hook(page, "sensor-row").first().click();
  await hook(page, "chart").waitFor();
  await look(page, "box-sensor");
  await hook(page, "nav-more").click();
  await hook(page, "box-link").waitFor();
  await look(page, "box-more");
  await fits(page, "box-more");
}

/** The hub is back: the order as the box left it. */
async function atTheHubAgain(page, orderPath) {
  await page.goto(hub + orderPath);
  await page.locator('[data-test="sign-in"], [data-test="user"]').first().waitFor();
  if (await hook(page, "sign-in").isVisible()) await signIn(page);
  await page.locator('[data-test="order"][data-state="done"]').waitFor();
  assert.ok((await hook(page, "order-remedy").innerText()).includes(REMEDY), "what was done is not there");
  assert.ok((await hook(page, "history").innerText()).includes(PERSON), "who did it is not there");
  await look(page, "hub-order-done");
  await page.setViewportSize(PHONE);
  await look(page, "hub-order-done-phone");
  await fits(page, "hub-order-done-phone");
  await hook(page, "nav-home").first().waitFor({ state: "attached" });
  await page.goto(hub);
  await hook(page, "tile-orders").waitFor();
  await look(page, "hub-home-phone");
  await fits(page, "hub-home-phone");
}

const started = Date.now();
const { context: browser, end: close } = await device(DESK);
let failed = null;
let last = null;
try {
  last = await open(browser, "hub");
  const atHub = last;
  const orderPath = await atTheHub(atHub);
  await ask("stop-hub");
  last = await open(browser, "box");
  await last.setViewportSize(PHONE);
  await atTheBox(last, orderPath);
  await ask("start-hub");
  last = atHub;
  await atTheHubAgain(atHub, orderPath);
} catch (error) {
  failed = error;
  await last?.screenshot({ path: join(setting("CHATTERFIX_PICTURES"), "failed.png") }).catch(() => {});
}
await close();
const took = Date.now() - started;
if (took > RUN_MS_MAX) problems.push(`it took ${took} ms, at most ${RUN_MS_MAX} are promised`);
end(failed, `${checked()} pages without serious accessibility or policy problems, in ${Math.round(took / 1000)} s`);
