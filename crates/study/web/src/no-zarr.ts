// In place of the package zarrita, which NiiVue imports: what it calls exists, and says why it does nothing.
function none(): never {
  throw new Error('this page does not read Zarr')
}

export { none as open, none as root, none as get, none as slice, none as FetchStore }
