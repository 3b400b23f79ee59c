"""Networks of other tools, nnU-Net's results folders and MONAI's bundles, made into ONNX files and a card."""
