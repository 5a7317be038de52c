// Carillon: the one script of the web pages. It only adds: every page reads, filters, silences and expires without it.
// It builds no HTML from text: what comes from a label goes through textContent, and pieces of pages come from the
// server, made by the same templates. It sets no style attributes (the Content-Security-Policy forbids them).
'use strict';
const $ = (s, el = document) => el.querySelector(s), $$ = (s, el = document) => [...el.querySelectorAll(s)];
const make = (tag, props = {}, ...kids) => { const el = Object.assign(document.createElement(tag), props); el.append(...kids); return el; };
const root = document.body.dataset.root || './';
const at = path => new URL(root + path, location.href);
const store = { get: k => { try { return localStorage.getItem(k); } catch { return null; } }, set: (k, v) => { try { localStorage.setItem(k, v); } catch { /* private mode */ } } };
const say = text => { const el = $('#say'); if (el) el.textContent = text; };
const parse = html => new DOMParser().parseFromString(html, 'text/html').body;
async function piece(url) {
  const answer = await fetch(url, { headers: { Accept: 'text/html' } });
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.status === 204 ? null : parse(await answer.text());
}

// ---- 1. bookmarks of the old interface: "/#/alerts?…" lives behind the hash, so only the browser can see it ----
function fromOldHash(hash) {
  const m = /^#\/(alerts|silences|status|settings)?(\/new|\/[\w-]+(?:\/edit)?)?\/?(?:\?(.*))?$/.exec(hash);
  if (!m) return hash.startsWith('#/') ? 'alerts' : null;
  const old = new URLSearchParams(m[3] || ''), now = new URLSearchParams(), page = m[1] || 'alerts', rest = page === 'silences' ? m[2] || '' : '';
  const inner = (old.get('filter') || '').trim().replace(/^\{|\}$/g, '');
  for (const f of inner.match(/[^\s{}!=~,"']+\s*(?:=~|!~|!=|=)\s*"(?:[^"\\]|\\.)*"/g) || []) now.append('filter', f);
  if (page === 'alerts') {
    const on = (k, d) => old.has(k) ? old.get(k) !== 'false' : d;
    const state = [['active', true], ['silenced', false], ['inhibited', false], ['muted', false]].filter(([k, d]) => on(k, d)).map(([k]) => k);
    if (state.join() !== 'active') for (const k of state) now.append('state', k);
    if (old.get('receiver')) now.set('receiver', old.get('receiver'));
    if (old.has('group')) now.set('group', old.get('group'));
    if (old.has('customGrouping')) now.set('view', 'custom');
  }
  if (old.get('comment')) now.set('comment', old.get('comment'));
  const path = page === 'settings' ? 'status' : page + rest;
  return path + (now.size ? '?' + now : '');
}
function followOldHash() { const to = fromOldHash(location.hash); if (to) location.replace(at(to)); return !!to; }
followOldHash();
addEventListener('hashchange', followOldHash);

// ---- 2. times: the server writes the reader's zone, which only the browser knows; one click shows UTC ----
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';
const known = /(?:^|; *)carillon_tz=([^;]*)/.exec(document.cookie);
if (decodeURIComponent(known?.[1] || '') !== zone) {
  document.cookie = 'carillon_tz=' + encodeURIComponent(zone) + '; Path=/; Max-Age=31536000; SameSite=Lax';
  // Once, and only while nothing was typed: the page is shown again in the right zone.
  if (document.cookie.includes('carillon_tz=') && zone !== 'UTC' && !$('#ed') && !location.hash) location.reload();
}
const zoneLink = $('[data-zone]'), zoneName = $('[data-zone-name]');
let utc = false;
if (zoneLink && zoneName.textContent !== 'UTC') {
  zoneLink.hidden = false;
  const local = zoneName.textContent;
  zoneLink.addEventListener('click', ev => {
    ev.preventDefault(); utc = !utc;
    for (const t of $$('time[datetime]')) { t.dataset.local ??= t.textContent; t.textContent = utc ? t.dateTime.slice(5, 10) + ' ' + t.dateTime.slice(11, 19) : t.dataset.local; }
    zoneLink.textContent = utc ? 'Show local times' : 'Show UTC'; zoneName.textContent = utc ? 'UTC' : local;
  });
}

// ---- 3. filter box: what exists is suggested, Enter adds, Backspace takes the last chip back as text ----
const q = $('#q'), list = $('#sugg'), err = $('#qerr'), bar = $('form.bar');
if (q && list && bar?.dataset.suggest) {
  q.setAttribute('role', 'combobox'); q.setAttribute('aria-autocomplete', 'list'); q.setAttribute('aria-controls', 'sugg'); q.setAttribute('aria-expanded', 'false');
  let mark = -1, timer, asked = 0, offered = [];
  const close = () => { list.hidden = true; mark = -1; q.setAttribute('aria-expanded', 'false'); q.removeAttribute('aria-activedescendant'); };
  const show = i => {
    mark = i; $$('li', list).forEach((li, k) => li.setAttribute('aria-selected', String(k === i)));
    if (i < 0) q.removeAttribute('aria-activedescendant'); else q.setAttribute('aria-activedescendant', 'sg' + i);
  };
  const go = text => { q.value = text; bar.requestSubmit(); };
  async function ask() {
    const mine = ++asked, text = q.value.trim();
    const url = new URL(bar.dataset.suggest, location.href); url.searchParams.set('q', text);
    let found; try { found = await piece(url); } catch { return; }
    if (mine !== asked || document.activeElement !== q) return;
    offered = $$('li', found).map(li => ({ text: li.dataset.filter, shown: $('b', li)?.textContent || li.dataset.filter, n: $('i', li)?.textContent || '' }));
    list.replaceChildren(...offered.map((o, i) => make('li', { id: 'sg' + i, role: 'option', className: 'm', onpointerdown: ev => { ev.preventDefault(); go(o.text); } }, make('span', {}, o.shown), make('span', { className: 'dim' }, o.n))));
    list.hidden = !offered.length; q.setAttribute('aria-expanded', String(!!offered.length)); show(-1);
    const why = $('[data-wrong]', found)?.textContent || '';
    err.textContent = why; err.hidden = !why;
    if (why) { q.setAttribute('aria-invalid', 'true'); q.setAttribute('aria-describedby', 'qerr'); } else q.removeAttribute('aria-invalid');
  }
  q.addEventListener('input', () => { clearTimeout(timer); timer = setTimeout(ask, 60); });
  q.addEventListener('keydown', ev => {
    const n = list.hidden ? 0 : offered.length;
    if (ev.key === 'ArrowDown') { ev.preventDefault(); if (n) show((mark + 2) % (n + 1) - 1); else ask(); }
    else if (ev.key === 'ArrowUp' && n) { ev.preventDefault(); show((mark + 1 + n) % (n + 1) - 1); }
    else if (ev.key === 'Enter' && mark >= 0) { ev.preventDefault(); go(offered[mark].text); }
    else if (ev.key === 'Enter' && q.getAttribute('aria-invalid') === 'true') ev.preventDefault();
    else if (ev.key === 'Backspace' && !q.value && !ev.repeat) {
      const chip = $$('.chip', bar).pop(); if (!chip) return;
      ev.preventDefault(); sessionStorage.setItem('carillon-back', $('span', chip).textContent); location.href = $('a', chip).href;
    } else if (ev.key === 'Escape') { if (n) close(); else q.blur(); }
  });
  q.addEventListener('blur', close);
  const back = sessionStorage.getItem('carillon-back');
  if (back) { sessionStorage.removeItem('carillon-back'); q.value = back; q.focus(); }
}
for (const b of $$('button[data-noscript]')) b.hidden = true; // it stays the form's button for Enter
// A choice is made when it is made; without a script the button sends it.
for (const select of $$('form.bar select')) select.addEventListener('change', () => select.form.requestSubmit());
bar?.addEventListener('submit', () => { for (const f of $$('input[name=filter], select, input[name=group]', bar)) if (!f.value && f.name !== 'group') f.disabled = true; });
addEventListener('pageshow', () => $$('form.bar :disabled').forEach(f => { f.disabled = false; }));

// ---- 4. labels: with Alt a click excludes ----
document.addEventListener('click', ev => {
  const a = ev.target.closest?.('a.l'); if (!a || !ev.altKey) return;
  const url = new URL(a.href), all = url.searchParams.getAll('filter'), last = all.pop(); if (!last) return;
  ev.preventDefault(); url.searchParams.delete('filter');
  for (const f of [...all, last.replace('=', '!=')]) url.searchParams.append('filter', f);
  location.href = url;
});

// ---- 5. groups: rows come when they are opened ----
document.addEventListener('toggle', async ev => {
  const box = ev.target; if (!box.open || !box.dataset.piece) return;
  const url = box.dataset.piece, more = $('.more:not(.quietly)', box); delete box.dataset.piece;
  const wait = setTimeout(() => more.append(' looking'), 400);
  try { const found = await piece(url); more.replaceWith(...found.childNodes); restore(); } catch { more.append(' not answered; try the link'); box.dataset.piece = url; }
  clearTimeout(wait);
}, true);

// ---- 6. selection: survives pages and updates; a bar says what can be done to it ----
const selbar = $('.selbar'), PICKS = 'carillon-picks' + (selbar ? location.pathname : '');
const boxes = () => $$('.pick input, .c-pick input');
const picks = () => new Set(JSON.parse(sessionStorage.getItem(PICKS) || '[]'));
function selection() {
  const chosen = picks(); if (!selbar) return chosen;
  selbar.hidden = !chosen.size; $('#nsel').textContent = chosen.size + ' selected'; return chosen;
}
function restore() { const chosen = picks(); for (const b of boxes()) b.checked = chosen.has(b.value); selection(); }
document.addEventListener('change', ev => {
  if (!ev.target.matches('.pick input, .c-pick input')) return;
  const chosen = picks(); ev.target.checked ? chosen.add(ev.target.value) : chosen.delete(ev.target.value);
  sessionStorage.setItem(PICKS, JSON.stringify([...chosen].slice(-200))); selection();
});
if (selbar) {
  restore();
  const form = selbar.closest('form');
  form.addEventListener('reset', () => { sessionStorage.removeItem(PICKS); setTimeout(restore); });
  form.addEventListener('submit', () => {
    const here = new Set(boxes().map(b => b.value)), name = boxes()[0]?.name || 'pick';
    for (const v of picks()) if (!here.has(v)) form.append(make('input', { type: 'hidden', name, value: v }));
    sessionStorage.removeItem(PICKS);
  });
}

// ---- 7. live: cells change in place; nothing moves under the reader, news waits in a pill until asked for ----
const feed = $('#alert-list')?.dataset.live, pill = $('[data-news]'), lost = $('#lost');
const busy = () => document.activeElement?.matches('input:not([type=checkbox]), textarea, select') || selection().size > 0;
if (feed) {
  const born = Date.now(); let good = born, version = '';
  const ids = (el, key) => new Set($$(`[data-${key}]`, el).map(e => e.dataset[key]));
  const news = found => {
    const here = ids(document, 'g'), there = ids(found, 'g'), table = $('table.flat') || $('tr[data-a]', found);
    const now = table ? ids(found, 'a') : there, before = table ? ids($('#alert-list'), 'a') : here;
    const fresh = [...now].filter(id => !before.has(id)).length; let gone = 0;
    for (const el of $$(table ? 'tr[data-a]' : '.g[data-g]')) {
      const is = now.has(table ? el.dataset.a : el.dataset.g); if (is === !el.dataset.gone) continue;
      if (is) delete el.dataset.gone; else el.dataset.gone = '1';
      const word = $('.gone-word', el); if (is) word?.remove(); else ($('.meta', el) || $('.c-by', el))?.prepend(make('b', { className: 'gone-word' }, 'not here any more '));
    }
    gone = $$('[data-gone]').length;
    if (pill && (fresh || gone)) {
      const text = [fresh && fresh + (table ? ' new' : fresh > 1 ? ' new groups' : ' new group'), gone && gone + ' gone'].filter(Boolean).join(', ');
      if (pill.hidden || $('span', pill).textContent !== text + '. Show') { $('span', pill).textContent = text + '. Show'; pill.hidden = false; say(text); }
    } else if (pill) pill.hidden = true;
  };
  const cells = found => {
    const sum = $('#sum'), next = $('#sum', found);
    if (sum && next) { sum.replaceChildren(...next.childNodes); document.title = document.title.replace(/^.*? ·/, ($('h1', sum)?.textContent || '') + ' ·'); }
    const tab = $('[data-firing]'), n = found.querySelector('[data-firing-now]'); if (tab && n) tab.textContent = n.textContent;
    for (const g of $$('li[data-g]', found)) {
      const mine = document.getElementById('g-' + g.dataset.g), meta = mine && $('.meta', mine), fresh = $('.meta', g);
      if (meta && fresh && meta.innerHTML !== fresh.innerHTML) meta.replaceChildren(...fresh.childNodes);
    }
  };
  const tick = async () => {
    if (document.hidden) return;
    try {
      const url = new URL(feed, location.href); url.searchParams.set('have', version);
      const found = await piece(url);
      good = Date.now(); lost.hidden = true;
      const mark = $('[data-live-at]'); if (mark) mark.textContent = 'live, ' + new Date().toLocaleTimeString([], { hour12: false });
      if (!found) return;
      version = $('[data-version]', found).dataset.version;
      if (!utc && !busy()) cells(found);
      news(found);
    } catch {
      if (Date.now() - good < 10000) return;
      lost.hidden = false; const s = Math.round((Date.now() - good) / 1000); $('[data-age]', lost).textContent = s < 90 ? s + ' s' : Math.round(s / 60) + ' min';
    }
  };
  setInterval(tick, 5000); tick();
  addEventListener('visibilitychange', tick);
  pill?.addEventListener('click', () => location.reload());
}

// ---- 8. silence editor: what would go quiet, asked for 100 ms after the last key ----
const ed = $('#ed');
if (ed) {
  const cm = $('#cm'), au = $('#au');
  if (au && !au.value) au.value = store.get('defaultCreator') || '';
  if ($('[data-remember]') && !cm.value) cm.value = store.get('carillonComment') || '';
  ed.addEventListener('submit', () => { store.set('carillonComment', cm.value); if (!au.readOnly) store.set('defaultCreator', au.value); });
  let timer, asked = 0;
  const preview = async () => {
    const mine = ++asked, url = new URL(ed.dataset.preview, location.href);
    for (const [k, v] of new FormData(ed)) if (k !== 'token' && k !== 'comment') url.searchParams.append(k, v);
    let found; try { found = await piece(url); } catch { return; }
    if (mine !== asked || !found) return;
    const next = $('#preview', found); if (!next) return;
    $('#preview').replaceWith(next);
    $('#pn2').textContent = $('#pn').textContent;
    $('#es').replaceChildren(...$('[data-end-short]', next).cloneNode(true).childNodes);
    $('#endsay').replaceChildren(...$('[data-end]', next).cloneNode(true).childNodes);
    $('#sure').hidden = !next.querySelector('.note.w b')?.textContent.startsWith('This');
    const worths = $$('[data-worths] li', next); $$('.mrow', ed).forEach((r, i) => { const w = $('.w', r); if (w) w.textContent = worths[i]?.textContent || ''; });
  };
  const soon = () => { clearTimeout(timer); timer = setTimeout(preview, 100); };
  ed.addEventListener('input', ev => {
    const row = ev.target.closest('.mrow');
    if (row && ev.target.matches('[name=n], [name=o], [name=v]')) {
      const [n, o, v] = ['n', 'o', 'v'].map(k => $(`[name=${k}]`, row).value);
      $('.lb .l', row).textContent = n + o + v; $('[name=on]', row).checked = true; ev.target.removeAttribute('aria-invalid');
    }
    if (ev.target.matches('#ea')) $('[name=d][value=x]').checked = true;
    soon();
  });
  const add = $('[data-addrow]'); add.hidden = false;
  add.addEventListener('click', () => {
    const rows = $$('.mrow', $('#rows')), i = rows.length, r = rows[0].cloneNode(true), on = $('[name=on]', r);
    $$('.f input', r).forEach(f => { f.value = ''; f.removeAttribute('aria-invalid'); }); $('.w', r).textContent = '';
    $('.lb', r).replaceChildren(make('span', { className: 'l' }, 'new line')); on.checked = true; on.value = String(i); on.id = 'm-' + i; $('.lb', r).htmlFor = on.id;
    $('summary', r).setAttribute('aria-label', 'Edit new line'); $('[name=v]', r).setAttribute('aria-label', 'Value of new line'); $('[name=o]', r).value = '='; $('details', r).open = true;
    $('#rows').append(r); $('[name=n]', r).focus();
  });
  if (location.hash === '#long') $('#ea')?.focus();
}

// ---- 9. copy a story ----
for (const b of $$('[data-copy]')) { b.hidden = false; b.addEventListener('click', () => navigator.clipboard?.writeText($(b.dataset.copy).innerText.replace(/\n{2,}/g, '\n')).then(() => say('Copied')).catch(() => say('Not copied'))); }

// ---- 10. keyboard ----
const keysOff = () => store.get('carillonKeys') === 'off';
const keys = $('#keys-on');
if (keys) { keys.closest('[hidden]')?.removeAttribute('hidden'); keys.checked = !keysOff(); keys.addEventListener('change', () => store.set('carillonKeys', keys.checked ? 'on' : 'off')); }
const rows = () => $$('.a summary, .g > details > summary, .flat tbody .c-name a, .sil a').filter(el => el.offsetParent);
const step = d => { const r = rows(), i = r.indexOf(document.activeElement); r[Math.max(0, Math.min(r.length - 1, i + d))]?.focus(); };
const near = sel => $(sel, document.activeElement?.closest('.a, .g, tr') || make('i'))?.click();
let g = false;
document.addEventListener('keydown', ev => {
  if (ev.ctrlKey || ev.metaKey || ev.altKey || keysOff() || ev.target.matches('input:not([type=checkbox]), textarea, select')) return;
  const go = g && { a: 'alerts', s: 'silences', w: 'why', c: 'cluster', r: 'routes', t: 'status' }[ev.key]; g = ev.key === 'g';
  if (go) { location.href = at(go); return; }
  const act = { '/': () => q?.focus(), j: () => step(1), k: () => step(-1), '.': () => pill && !pill.hidden && pill.click(), '?': () => { location.href = at('help'); },
    x: () => document.activeElement?.closest('.a, tr, .sil')?.querySelector('input[type=checkbox]')?.click(),
    s: () => selection().size ? $('button', selbar).click() : near('a[href*="silences/new"]'), w: () => near('a[href*="why/"]'),
    e: () => $('.g summary')?.focus(), q: () => $('#quiet + .gs summary')?.focus(), Escape: () => document.activeElement?.blur() }[ev.key];
  if (act) { ev.preventDefault(); act(); }
});
