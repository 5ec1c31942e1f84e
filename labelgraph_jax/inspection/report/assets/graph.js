const LISTED = 8;

function labelGraph(graph) {
  const n = graph.names.length;
  const unpacked = new Map();
  const keyOf = (key, when) => `${key} ${when}`;
  const views = new Map(graph.views.map((view) => [keyOf(view.key, view.when), view]));
  const titles = new Map();
  for (const view of graph.views) titles.set(view.key, view.title);
  const select = byId("graph-view");
  const when = byId("graph-when");
  const edges = byId("graph-edges");
  const search = byId("graph-search");
  const panel = byId("graph-panel");
  let weights = new Float32Array(n * n);
  let shownNode = -1;

  for (const [key, title] of titles) select.append(element("option", title, { value: key }));
  if (titles.has("edges")) select.value = "edges";
  else if (titles.has("attention-1")) select.value = "attention-1";
  for (const name of graph.names) byId("graph-names").append(element("option", null, { value: name }));

  function weightsOf(key, time) {
    const name = keyOf(key, time);
    if (!views.has(name)) return null;
    if (!unpacked.has(name)) unpacked.set(name, unpack(views.get(name)));
    return unpacked.get(name);
  }

  function current() {
    const key = select.value;
    const fixed = weightsOf(key, "");
    when.disabled = Boolean(fixed);
    if (fixed) return fixed;
    const time = when.querySelector("input:checked").value;
    if (time !== "change") return weightsOf(key, time);
    const [before, after] = [weightsOf(key, "before"), weightsOf(key, "after")];
    return after.map((weight, i) => weight - before[i]);
  }

  // Of every receiver its strongest senders; the share is that of the largest of all.
  function strongest(count) {
    const found = [];
    for (let i = 0; i < n; i += 1) {
      const row = [];
      for (let j = 0; j < n; j += 1) {
        const weight = weights[i * n + j];
        if (i !== j && weight !== 0) row.push({ to: i, from: j, weight });
      }
      row.sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));
      found.push(...row.slice(0, count));
    }
    let most = 0;
    for (const edge of found) most = Math.max(most, Math.abs(edge.weight));
    for (const edge of found) edge.share = Math.sqrt(Math.abs(edge.weight) / (most || 1));
    return found.sort((a, b) => a.share - b.share);
  }

  function list(title, pairs) {
    const made = document.createDocumentFragment();
    made.append(element("b", title));
    const lines = element("ol");
    for (const [node, weight] of pairs.slice(0, LISTED)) {
      const line = element("li");
      line.append(element("span", graph.names[node]), element("span", shown(weight)));
      lines.append(line);
    }
    if (!pairs.length) lines.append(element("li", "none"));
    made.append(lines);
    return made;
  }

  function describe(node) {
    shownNode = node;
    panel.replaceChildren();
    if (node < 0) {
      panel.append(element("p", "Point at a label, or tap it, to see what it receives "
        + "and sends. Zoom with the wheel, two fingers or the buttons; drag to move.", { class: "note" }));
      return;
    }
    panel.append(element("h3", graph.names[node]));
    panel.append(element("p", `${whole(graph.counts[node])} training documents`,
      { class: "note" }));
    const pairs = (pick) => [...Array(n).keys()].filter((j) => j !== node)
      .map((j) => [j, pick(j)]).filter(([, weight]) => weight !== 0)
      .sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
    panel.append(list("Receives from", pairs((j) => weights[node * n + j])));
    panel.append(list("Sends to", pairs((j) => weights[j * n + node])));
    panel.append(element("p", `From itself ${shown(weights[node * n + node])}`,
      { class: "note" }));
  }

  const picture = network(byId("network"), graph, describe);
  const say = (to, from, weight) => `${to} receives ${shown(weight)} from ${from}`;
  const own = heatMap(byId("heat-own"), say, (node) => picture.choose(node));
  const beside = heatMap(byId("heat-cooccurrence"), say, (node) => picture.choose(node));

  function correlation(one, other) {
    let [count, a, b, aa, bb, ab] = [0, 0, 0, 0, 0, 0];
    for (let i = 0; i < n * n; i += 1) {
      if (i % n === Math.floor(i / n)) continue;
      const [x, y] = [one[i], other[i]];
      count += 1; a += x; b += y; aa += x * x; bb += y * y; ab += x * y;
    }
    const spread = Math.sqrt((count * aa - a * a) * (count * bb - b * b));
    return spread > 0 ? (count * ab - a * b) / spread : null;
  }

  function compare(key) {
    const together = weightsOf("cooccurrence", "");
    if (key === "cooccurrence") return "";
    const told = [];
    const [before, after] = [weightsOf(key, "before"), weightsOf(key, "after")];
    if (together && before && after) {
      const [one, two] = [correlation(before, together), correlation(after, together)];
      if (one !== null || two !== null) {
        told.push(`Correlation with co-occurrence: ${shown(one)} before training, `
          + `${shown(two)} after.`);
      }
    }
    if (before && after) {
      const kept = correlation(before, after);
      if (kept !== null) told.push(`Before and after correlate by ${shown(kept)}.`);
    }
    return told.join(" ");
  }

  function update() {
    weights = current();
    const key = select.value;
    const time = when.disabled ? "" : when.querySelector("input:checked").value;
    const made = strongest(Number(edges.value));
    byId("graph-edges-value").textContent = edges.value;
    byId("network").dataset.view = keyOf(key, time).trim();
    picture.set(made);
    describe(shownNode);
    const title = titles.get(key) + (time ? `, ${time === "change" ? "change" : `${time} training`}` : "");
    byId("heat-own-title").textContent = title;
    own.set(graph.names, weights, title, `${n} × ${n} labels`);
    byId("graph-said").textContent = `${whole(made.length)} edges. ${compare(key)}`;
    byId("heat-beside").hidden = key === "cooccurrence" || !titles.has("cooccurrence");
    const together = weightsOf("cooccurrence", "");
    if (together && key !== "cooccurrence") {
      beside.set(graph.names, together, "Co-occurrence in training",
        "P(sender | receiver) in training");
    }
  }

  function seek() {
    const words = search.value.trim().toLowerCase();
    if (!words) { picture.find(null); return; }
    const found = graph.names.map((name, i) => [name.toLowerCase(), i])
      .filter(([name]) => name.includes(words));
    picture.find(new Set(found.map(([, i]) => i)));
    const exact = found.find(([name]) => name === words) || (found.length === 1 && found[0]);
    if (exact) { picture.choose(exact[1]); picture.centre(exact[1]); }
  }

  const legend = byId("graph-legend");
  function paintLegend() {
    legend.replaceChildren();
    const named = graph.clusterNames.map((name, i) => [i, name]);
    if (graph.clusters.some((cluster) => cluster < 0)) named.push([-1, "in no cluster"]);
    for (const [cluster, name] of named) {
      const line = element("li");
      line.append(element("i", null, { style: `background:${clusterColour(cluster)}` }), name);
      legend.append(line);
    }
  }

  function redraw() {
    paintLegend();
    picture.draw();
    own.draw();
    if (!byId("heat-beside").hidden) beside.draw();
  }

  select.addEventListener("change", update);
  when.addEventListener("change", update);
  edges.addEventListener("input", update);
  search.addEventListener("input", seek);
  byId("zoom-in").addEventListener("click", () => picture.zoom(1.5));
  byId("zoom-out").addEventListener("click", () => picture.zoom(1 / 1.5));
  byId("zoom-fit").addEventListener("click", () => picture.fit());
  update();
  describe(-1);
  redraw();

  const places = new Map(graph.ids.map((id, i) => [id, i]));
  return {
    redraw,
    show(id) {
      const node = places.get(id);
      if (node === undefined) return false;
      byId("graph").scrollIntoView({ behavior: "smooth" });
      picture.choose(node);
      picture.centre(node);
      return true;
    },
  };
}
