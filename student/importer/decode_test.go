package importer

const fixtures = "../../testdata/onnx"
