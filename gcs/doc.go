package gcs

import _ "cloud.google.com/go/storage"
