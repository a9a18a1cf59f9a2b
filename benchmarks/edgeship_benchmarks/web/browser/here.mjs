/** What the page knows about the browser and the device that it runs on. */

let hidden = document.visibilityState === 'hidden' ? 1 : 0;
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'hidden') hidden += 1;
});

/** How often the page was hidden so far: browsers slow hidden pages down. */
export function visibility() {
  return { times_hidden: String(hidden) };
}

/** @returns {Promise<Record<string, string>>} */
export async function browserFacts() {
  const facts = {
    user_agent: navigator.userAgent,
    cores: String(navigator.hardwareConcurrency ?? ''),
    memory_class_gib: String(navigator.deviceMemory ?? ''),
    cross_origin_isolated: self.crossOriginIsolated ? 'yes' : 'no',
    secure_context: self.isSecureContext ? 'yes' : 'no',
    screen: `${screen.width}x${screen.height} at ${devicePixelRatio}`,
    ...(await hints()),
  };
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value));
}

/** Client hints, of Chromium and its kin only, which say less in the user agent. */
async function hints() {
  const found = await navigator.userAgentData?.getHighEntropyValues?.(['architecture', 'model', 'platformVersion']).catch(() => null);
  if (!found) return {};
  const { platform, platformVersion, architecture, model } = found;
  return { system: [platform, platformVersion].filter(Boolean).join(' '), machine: architecture ?? '', board: model ?? '' };
}

/** Ask a phone to leave its screen on; where that is not possible the page says to keep it in front. */
export function keepAwake() {
  const request = () => document.visibilityState === 'visible' && navigator.wakeLock?.request('screen').catch(() => {});
  document.addEventListener('visibilitychange', request);
  request();
}
