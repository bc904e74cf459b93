// Draws one figure into its place, and new numbers into the same figure; only while a person can see it.

const EXPAND = {
  width: 448,
  height: 512,
  path: "M32 32C14.3 32 0 46.3 0 64v96c0 17.7 14.3 32 32 32s32-14.3 32-32V96h64c17.7 0 32-14.3 32-32s-14.3-32-32-32H32zM64 352c0-17.7-14.3-32-32-32s-32 14.3-32 32v96c0 17.7 14.3 32 32 32h96c17.7 0 32-14.3 32-32s-14.3-32-32-32H64V352zM320 32c-17.7 0-32 14.3-32 32s14.3 32 32 32h64v64c0 17.7 14.3 32 32 32s32-14.3 32-32V64c0-17.7-14.3-32-32-32H320zM448 352c0-17.7-14.3-32-32-32s-32 14.3-32 32v64H320c-17.7 0-32 14.3-32 32s14.3 32 32 32h96c17.7 0 32-14.3 32-32V352z",
}
const places = new WeakMap()

// plotly.js is large: one load for all figures.
function library(address) {
  window.strawberryPlotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = address
    script.onload = () => resolve(window.Plotly)
    script.onerror = () => {
      window.strawberryPlotly = undefined
      reject(new Error("plotly.js could not be loaded"))
    }
    document.head.append(script)
  })
  return window.strawberryPlotly
}

class Place {
  constructor(parent) {
    this.box = document.createElement("div")
    this.box.className = "strawberry-canvas"
    this.box.style.width = "100%"
    this.box.setAttribute("role", "figure")
    parent.append(this.box)
    this.drawing = null // what is to be drawn; null once it is
    this.seen = false
    this.watch = new IntersectionObserver((entries) => {
      this.seen = entries[entries.length - 1].isIntersecting
      this.draw()
    }, { rootMargin: "150px" })
    this.watch.observe(this.box)
    this.fit = new ResizeObserver(() => this.resize())
    this.fit.observe(this.box)
    this.expanded = () => this.resize()
    document.addEventListener("fullscreenchange", this.expanded)
  }

  take(data) {
    this.drawing = JSON.parse(new TextDecoder().decode(data))
    this.height = this.drawing.figure.layout.height ?? 450
    this.box.style.height = `${this.height}px`
    this.box.setAttribute("aria-label", this.drawing.alt)
    this.draw()
  }

  async draw() {
    if (!this.seen || this.drawing === null) return
    const { figure, config, plotly } = this.drawing
    this.drawing = null
    try {
      const Plotly = await library(plotly)
      if (!this.box.isConnected) return
      delete figure.layout.width
      const fullscreen = { name: "fullscreen", title: "Full screen", icon: EXPAND, click: () => this.expand() }
      await Plotly.react(this.box, figure.data, figure.layout, { ...config, modeBarButtonsToAdd: [fullscreen] })
      this.width = this.box.clientWidth
    } catch (error) {
      this.box.textContent = `This figure could not be drawn: ${error.message}.`
    }
  }

  expand() {
    if (document.fullscreenElement === this.box) document.exitFullscreen()
    else this.box.requestFullscreen()
  }

  resize() {
    const large = document.fullscreenElement === this.box
    const height = large ? window.innerHeight : this.height
    if (!this.box.data || (this.box.clientWidth === this.width && this.box.layout.height === height)) return
    this.width = this.box.clientWidth
    window.Plotly.relayout(this.box, { height, width: null, autosize: true })
  }

  end() {
    this.watch.disconnect()
    this.fit.disconnect()
    document.removeEventListener("fullscreenchange", this.expanded)
    if (this.box.data) window.Plotly.purge(this.box)
    this.box.remove()
  }
}

export default function ({ parentElement, data }) {
  if (!places.has(parentElement)) places.set(parentElement, new Place(parentElement))
  places.get(parentElement).take(data)
  return () => {
    places.get(parentElement)?.end()
    places.delete(parentElement)
  }
}
