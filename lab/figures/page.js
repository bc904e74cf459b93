// Draws the page's figures as they come into view, light or dark as the reader's system says, now and when it changes.

const root = document.documentElement
const night = matchMedia("(prefers-color-scheme: dark)")
const config = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d"] }
const drawn = new Set()

// The figure as it was drawn light, with what is otherwise in the dark changed: [[path, value], …]; no value: removed.
function told(place) {
  const { figure, dark } = JSON.parse(place.nextElementSibling.textContent)
  if (root.dataset.theme || !night.matches) return figure
  for (const [path, ...value] of dark) {
    const last = path.pop()
    const at = path.reduce((part, key) => part[key], figure)
    if (value.length) at[last] = value[0]
    else delete at[last]
  }
  return figure
}

function draw(place) {
  const { data, layout } = told(place)
  const saved = { format: "svg", filename: place.id }
  Plotly.react(place, data, { ...layout, autosize: true }, { ...config, toImageButtonOptions: saved })
  drawn.add(place)
}

// Numbers travel compressed; a browser that cannot unpack them saves them as they are.
async function save(button) {
  const bytes = Uint8Array.from(atob(button.dataset.csv), (letter) => letter.charCodeAt(0))
  const packed = new Blob([bytes])
  const can = "DecompressionStream" in window
  const plain = can ? await new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).blob() : packed
  const link = document.createElement("a")
  link.href = URL.createObjectURL(plain)
  link.download = button.dataset.name + (can ? ".csv" : ".csv.gz")
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 1000)
}

const places = document.querySelectorAll(".plotly-graph-div")
const watch = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting && !drawn.has(target)) draw(target)
}, { rootMargin: "400px" })
for (const place of places) watch.observe(place)
night.addEventListener("change", () => drawn.forEach(draw))
addEventListener("beforeprint", () => places.forEach((place) => drawn.has(place) || draw(place)))
for (const button of document.querySelectorAll("button[data-csv]")) button.addEventListener("click", () => save(button))
