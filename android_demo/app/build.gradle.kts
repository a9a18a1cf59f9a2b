plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "dev.edgeship.demo"
    compileSdk = libs.versions.compile.sdk.get().toInt()

    defaultConfig {
        applicationId = "dev.edgeship.demo"
        minSdk = libs.versions.min.sdk.get().toInt()
        targetSdk = libs.versions.target.sdk.get().toInt()
        versionCode = 1
        versionName = "0.1.0"
        ndk { abiFilters += listOf("arm64-v8a", "x86_64") }
    }

    flavorDimensions += "runtime"
    productFlavors {
        // At Maven's central repository; its native code is for pages of 4 kB.
        create("tflite") { dimension = "runtime" }
        // At Google's repository; for pages of 16 kB too, which new devices have.
        create("litert") {
            dimension = "runtime"
            isDefault = true
        }
    }

    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles("proguard-rules.pro")
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }

    androidResources { noCompress += "tflite" }

    packaging { resources.excludes += listOf("org/bouncycastle/**", "META-INF/versions/**") }
}

dependencies {
    implementation(project(":edgeship-client"))
    "tfliteImplementation"(libs.tensorflow.lite)
    "litertImplementation"(libs.litert)
}
