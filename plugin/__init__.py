"""What runs inside Orthanc: events in, REST and pages out, workers kept alive. Nothing slow, nothing heavy.

Only this package imports ``orthanc``; it never imports SimpleITK, numpy, onnxruntime or torch.
"""
